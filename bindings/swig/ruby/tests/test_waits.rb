# What Ruby ends a wait for: Thread#raise, Thread#kill, Timeout, signals; and that others run meanwhile.
require "ecru"
require "io/wait"
require "minitest/autorun"
require "timeout"

class TestWaits < Minitest::Test
  class Stop < StandardError; end
  UNFIRED = Ecru::Token.new
  SLEEPER = Ecru.go { Ecru.sleep }

  # What waits for ever, each way.
  def self.waits
    {
      recv: -> { Ecru::Chan.new.recv },
      send: -> { Ecru::Chan.new.send(1) },
      ints: -> { Ecru::IntChan.new.recv },
      bytes: -> { Ecru::ByteChan.new.send("x") },
      each: -> { Ecru::Chan.new.each { flunk } },
      sleep: -> { Ecru.sleep },
      token: -> { UNFIRED.wait },
      mutex: -> { Ecru::Mutex.new.tap { |m| Thread.new { m.lock }.join }.lock },
      read_lock: -> { Ecru::RWMutex.new.tap { |m| Thread.new { m.lock }.join }.read_lock },
      cond: -> { m = Ecru::Mutex.new; c = Ecru::Cond.new; m.synchronize { loop { c.wait(m) } } },
      semaphore: -> { Ecru::Semaphore.new(1).tap(&:acquire).acquire },
      waitgroup: -> { Ecru::WaitGroup.new.tap { |w| w.add(1) }.wait },
      barrier: -> { Ecru::Barrier.new(2).wait },
      timer: -> { Ecru::Timer.new(nil).wait },
      limiter: -> { Ecru::Limiter.new(0.001, 1).tap { |l| l.wait(1) }.wait(1) },
      task: -> { SLEEPER.join },
      group: -> { Ecru.scope { |g| g.go { Ecru.sleep } } },
      select: -> { Ecru.select(Ecru::Chan.new, Ecru::Chan.new.sending(1)) },
      accept: -> { Ecru.listen("tcp", "127.0.0.1:0").accept },
    }
  end

  def parked(thread)
    Thread.pass until thread.status == "sleep" || !thread.alive?
    thread
  end

  waits.each do |name, wait|
    define_method("test_raise_ends_#{name}") do
      thread = Thread.new { wait.call }
      thread.report_on_exception = false
      parked(thread).raise(Stop, "now")
      assert_raises(Stop) { thread.value }
    end
    define_method("test_kill_ends_#{name}") do
      cleaned = false
      thread = Thread.new do
        wait.call
      ensure
        cleaned = true
      end
      parked(thread).kill.join
      assert cleaned
    end
    define_method("test_a_deadline_ends_#{name}") do
      assert_raises(Ecru::DeadlineExceeded) { Ecru.timeout(0.002) { wait.call } }
    end
  end

  def test_timeout_of_ruby
    assert_raises(Timeout::Error) { Timeout.timeout(0.01) { Ecru::Chan.new.recv } }
  end

  def test_a_signal_is_handled_and_the_wait_goes_on
    chan = Ecru::Chan.new
    old = trap("USR1") { Thread.new { chan.send(:handled) } }
    Thread.new { Process.kill("USR1", Process.pid) }
    assert_equal :handled, chan.recv
    trap("USR1") { nil }
    index = Thread.new { Process.kill("USR1", Process.pid) && chan.send(:later) } && Ecru.select(chan).index
    assert_equal 0, index
  ensure
    trap("USR1", old || "DEFAULT")
  end

  def test_an_interrupt_of_the_main_thread
    code = 'require "ecru"; Thread.new { Process.kill("INT", Process.pid) }; begin; Ecru.sleep; rescue Interrupt; puts "ended"; end'
    assert_equal "ended\n", IO.popen([RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", code], &:read)
  end

  # Another thread sleeps in Ruby when the main thread first waits, and goes on after that. The signal comes from outside: Ruby hands its own over itself.
  def test_a_signal_reaches_a_main_thread_that_waits_longer_than_who_slept_before_it
    code = <<~RUBY
      require "ecru"
      $stdout.sync = true
      gate, main = Queue.new, Thread.current
      asleep = ->(thread) { thread&.status == "sleep" }
      sleeper = Thread.new { gate.pop }
      Thread.pass until asleep.(sleeper)
      Thread.new do
        Thread.pass until asleep.(main) && asleep.(Thread.list.find { |thread| thread.name == "ecru: signals" })
        gate << 1
        sleeper.join
        puts "alone"
      end
      Ecru::Chan.new.recv
    RUBY
    3.times do
      IO.popen([RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", code]) do |program|
        assert_equal "alone\n", program.gets
        Process.kill("TERM", program.pid)
        assert program.wait_readable(60), "the signal was lost"
      ensure
        Process.kill("KILL", program.pid)
      end
    end
  end

  def test_the_end_of_the_program_ends_who_waits
    code = 'require "ecru"; 20.times { Ecru.go { begin; Ecru.sleep; ensure; $stdout.write("x"); end } }; Ecru.sleep(0.05)'
    assert_equal "x" * 20, IO.popen([RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", code], &:read)
  end

  def test_masked_interrupts_wait_for_their_time
    reached = false
    thread = Thread.new do
      Thread.handle_interrupt(Stop => :never) do
        Ecru.sleep(0.05)
        reached = true
      end
      flunk
    end
    thread.report_on_exception = false
    parked(thread).raise(Stop)
    assert_raises(Stop) { thread.value }
    assert reached
  end

  def test_on_blocking_interrupts_come_while_it_waits
    thread = Thread.new { Thread.handle_interrupt(Stop => :on_blocking) { Ecru.sleep } }
    thread.report_on_exception = false
    parked(thread).raise(Stop)
    assert_raises(Stop) { thread.value }
  end

  def test_what_is_received_while_interrupted_is_not_lost
    chan = Ecru::Chan.new
    got = []
    stops = 0
    receiver = Thread.new do
      Thread.handle_interrupt(Stop => :on_blocking) do
        loop do
          got << chan.recv
        rescue Stop
          stops += 1
        rescue Ecru::Closed
          break
        end
      end
    end
    parked(receiver) # before that it has not masked them
    noise = Thread.new do
      200.times do |i|
        receiver.raise(Stop)
        Thread.pass until stops > i
      end
    end
    sent = 0
    chan << (sent += 1) while noise.alive? || sent < 500
    chan.close
    receiver.join
    assert_equal (1..sent).to_a, got
    assert_empty chan.objects
  end

  # What a block enters and leaves again, each way; the last: whether nothing of it is left.
  def self.passages
    mutex, rwmutex, semaphore, token = Ecru::Mutex.new, Ecru::RWMutex.new, Ecru::Semaphore.new(2), Ecru::Token.new
    outside = ->(block) { Thread.new(&block).value }
    own = ->(_) { Ecru::Token.current.then { |current| current.id != token.id && current.error.zero? } }
    {
      synchronize: [->(&block) { mutex.synchronize(&block) }, ->(_) { outside.(-> { mutex.try_lock && mutex.unlock.nil? }) }],
      write: [->(&block) { rwmutex.write(&block) }, ->(_) { outside.(-> { rwmutex.try_lock && rwmutex.unlock.nil? }) }],
      read: [->(&block) { rwmutex.read(&block) }, ->(_) { outside.(-> { rwmutex.try_lock && rwmutex.unlock.nil? }) }],
      hold: [->(&block) { semaphore.hold(2, &block) }, ->(_) { semaphore.available == 2 }],
      under: [->(&block) { token.under(&block) }, own],
      shield: [->(&block) { Ecru.shield(&block) }, ->(before) { Ecru::Token.current.id == before }],
      timeout: [->(&block) { Ecru.timeout(1000, &block) }, ->(before) { Ecru::Token.current.id == before }],
    }
  end

  # Runs the block, and raises Stop when Ruby's so-manieth event comes. returns: whether there were so many.
  def interrupted_at(count)
    seen = 0
    itself = Thread.current
    trace = TracePoint.new(:call, :return, :c_call, :c_return, :b_call, :b_return) do
      Thread.new { itself.raise(Stop) }.join if Thread.current == itself && (seen += 1) == count
    end
    trace.enable { yield }
    seen >= count
  rescue Stop
    true
  end

  passages.each do |name, (pass, left)|
    define_method("test_an_interrupt_at_any_moment_leaves_#{name}") do
      thread = Thread.new do
        before = Ecru::Token.current.id
        (1..).find do |count|
          all = !interrupted_at(count) { pass.call { nil } }
          flunk "after #{count}" unless left.call(before)
          all
        end
      end
      thread.report_on_exception = false
      assert_operator thread.value, :>, 4
    end
  end

  def test_a_signal_does_not_make_a_sleep_longer
    handled = 0
    old = trap("USR1") { handled += 1 }
    sleeper = Thread.current
    noise = Thread.new do
      begin
        Thread.pass until sleeper.status == "sleep"
        seen = handled
        Process.kill("USR1", Process.pid)
        Thread.pass until handled > seen
      end until Thread.current[:enough]
    end
    started = Ecru.now
    Ecru.timeout(30) { Ecru.sleep(0.3) }
    assert_operator Ecru.now - started, :>=, 0.3
    assert_operator handled, :>, 0
  ensure
    noise[:enough] = true
    noise.kill.join
    trap("USR1", old || "DEFAULT")
  end

  def test_a_scope_that_is_interrupted_or_killed_waits
    [->(thread) { thread.raise(Stop) }, ->(thread) { thread.kill }].each do |ends|
      [->(_) { Ecru.sleep }, ->(group) { group.wait }, ->(_) { nil }].each do |body|
        ended = []
        thread = Thread.new do
          Ecru.scope do |group|
            group.go do
              Ecru.sleep
            ensure
              Ecru.shield { Ecru.sleep(0.02) }
              ended << true
            end
            body.call(group)
          end
        end
        thread.report_on_exception = false
        ends.call(parked(thread))
        thread.join rescue nil
        assert_equal [true], ended
      end
    end
  end

  def test_others_run_while_one_waits
    count = 0
    waiter = Thread.new { Ecru.sleep }
    parked(waiter)
    1000.times { count += 1 }
    assert_equal 1000, count
    waiter.kill.join
  end
end
