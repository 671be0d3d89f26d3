# A forked child starts anew (G14): what it can use of its parent's, and what it is told of the rest.
require "ecru"
require "io/wait"
require "minitest/autorun"
require "timeout"

class TestForks < Minitest::Test
  PRELOADED = ENV["LD_PRELOAD"].to_s

  def setup
    skip "ThreadSanitizer takes a forked child's new threads for those of its parent" if PRELOADED.include?("tsan")
    skip "gcc 12's AddressSanitizer leaves the locks of its malloc to a forked child as they are: a thread's that begins, too" if PRELOADED.include?("asan")
  end

  # returns: what the block gives in a child, or the error it raises.
  def in_child
    reading, writing = IO.pipe
    pid = fork do
      answer = begin
        yield
      rescue Exception => problem # rubocop:disable Lint/RescueException
        problem.is_a?(Ecru::Error) ? problem.name : problem.full_message
      end
      writing.write(Marshal.dump(answer))
    ensure
      exit!
    end
    writing.close
    assert reading.wait_readable(60), "the child hangs"
    Marshal.load(reading.read)
  ensure
    Process.kill("KILL", pid)
    Process.wait(pid)
  end

  def told
    yield
    "nothing"
  rescue Ecru::Error => problem
    problem.name
  end

  def parked(&block)
    thread = Thread.new(&block)
    thread.report_on_exception = false
    Thread.pass until thread.status == "sleep"
    thread
  end

  def everything
    chan = Ecru::Chan.new
    task = Ecru.go { chan << 20 }
    listener = Ecru.listen("tcp", "127.0.0.1:0")
    server = Ecru.go { listener.accept.tap { |connection| connection << "22\n" }.close }
    line = Ecru.dial("tcp", listener.local_address).read_line
    task.join if (sum = chan.recv + line.to_i) && server.join.nil?
    Ecru.scope { |group| group.go { Ecru.sleep(0.001) } }
    [sum, told { Ecru.timeout(0.001) { Ecru.sleep } }, Ecru.select(Ecru::Timer.new(0)).index]
  end

  def test_a_child_of_a_parent_that_uses_it_uses_it_too
    expected = [42, "ECRU_ETIMEDOUT", 0]
    assert_equal expected, everything
    waiter = parked { Ecru.sleep }
    assert_equal expected, in_child { everything }
    assert_equal expected, in_child { in_child { everything } }
    assert_equal expected, Thread.new { in_child { everything } }.value
    assert_equal expected, everything
    waiter.kill.join
  end

  def test_a_child_of_a_parent_that_has_only_loaded_it
    code = 'require "ecru"; Process.wait(fork { Ecru::Chan.new(1) << 1; Ecru.sleep(0.001); puts "child" }); Ecru.sleep(0.001); puts "parent"'
    assert_equal "child\nparent\n", IO.popen([RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", code], &:read)
  end

  def test_a_daemon
    code = 'require "ecru"; Ecru.sleep(0.001); $stdout.sync = true; Process.daemon(true, true); Ecru.sleep(0.001); puts Ecru.go { "daemon" }.join'
    assert_equal "daemon\n", IO.popen([RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", code], &:read)
  end

  def test_channels_and_listeners_of_the_parents_go_on
    chan = Ecru::Chan.new(2)
    chan << :old
    listener = Ecru.listen("tcp", "127.0.0.1:0")
    address = listener.local_address
    Ecru.sleep(0.001)
    2.times do
      assert_equal [:old, :new], in_child { [chan.recv, (chan << :new).recv] }
      connection = nil
      answered = in_child do
        client = Ecru.go { Ecru.dial("tcp", address).read_line }
        connection = listener.accept
        connection << "child\n"
        client.join
      end
      assert_equal "child", answered
    end
    assert_equal :old, chan.recv
  end

  def test_what_others_waited_in_is_lost
    chan, mutex, token, semaphore = Ecru::Chan.new, Ecru::Mutex.new.tap(&:lock), Ecru::Token.new, Ecru::Semaphore.new(1).tap(&:acquire)
    waiters = [-> { chan.recv }, -> { mutex.lock }, -> { token.wait }, -> { semaphore.acquire }].map { |wait| parked(&wait) }
    uses = [-> { chan << 1 }, -> { chan.try_recv }, -> { chan.length }, -> { Ecru.select(chan, timeout: 0) }, -> { mutex.unlock }, -> { token.cancel }, -> { semaphore.release }]
    lost, answers = ["ECRU_EFORKED"] * uses.size, nil
    100.times { break if (answers = in_child { uses.map { |use| told(&use) } }) == lost } # Ruby says that one sleeps a moment before it is in the call
    assert_equal lost, answers
    closed = in_child do
      chan.close rescue nil
      chan = mutex = token = semaphore = waiters = uses = nil
      3.times { GC.start }
      everything.first
    end
    assert_equal 42, closed
    waiters.each(&:kill).each(&:join)
  end

  def test_tasks_and_groups_of_the_parents_are_told_of
    running, done = Ecru.go { Ecru.sleep }, Ecru.go { :done }
    group = Ecru::Group.new
    group.go { Ecru.sleep }
    done.join
    answers = in_child do
      [told { running.join }, told { Ecru.select(running) }, told { Ecru.join_any(running) }, done.join, Ecru.select(done).index, told { group.go { flunk } }, told { group.wait },
       told { group.finish(nil) }, told { group.finish(IOError.new) }]
    end
    assert_equal ["ECRU_EFORKED"] * 3 + [:done, 0] + ["ECRU_EFORKED"] * 3 + ["nothing"], answers
    running.cancel
    group.cancel
    assert_raises(Ecru::Cancelled) { group.wait }
  end

  def test_tokens_of_the_parents_are_told_of
    token, done = Ecru::Token.new, Ecru.go { :done }
    background, group = Ecru.go(token: token) { Ecru.sleep }, Ecru::Group.new
    group.go { Ecru.sleep }
    done.join
    uses = [-> { token.cancel }, -> { token.wait }, -> { token.reset(0) }, -> { token.under { flunk } }, -> { Ecru::Token.new(token) }, -> { Ecru.go(token: token) { flunk } },
            -> { Ecru.select(token) }, -> { Ecru::Group.new(token: token) }, -> { background.cancel }, -> { background.token.cancel }, -> { done.cancel }, -> { group.cancel },
            -> { group.token.cancel }]
    answers, own, any = in_child do
      sleeper = parked { Ecru.sleep }
      told = uses.map { |use| told(&use) }
      token.close
      token = nil
      GC.start
      own = Ecru::Token.new
      fresh = Ecru.go(token: own) { Ecru.sleep }
      own.cancel
      [told, [told { fresh.join }, sleeper.alive?, background.token.fired?], Ecru.join_any(Ecru.go { Ecru.sleep }, done)]
    end
    assert_equal ["ECRU_EFORKED"] * uses.size, answers
    assert_equal ["ECRU_ECANCELED", true, false], own
    assert_equal [1, :done], any
    token.cancel
    group.cancel
    assert_raises(Ecru::Cancelled) { background.join }
    assert_raises(Ecru::Cancelled) { group.wait }
  end

  def test_a_child_is_under_the_scopes_of_who_forked_it
    answers = Ecru.timeout(0) do
      in_child { [Thread.new { told { Ecru.check } }.value, told { Ecru.check }] }
    end
    assert_equal %w[nothing ECRU_ETIMEDOUT], answers
    assert_equal "nothing", told { Ecru.check }
  end

  def test_locks_of_who_forked_are_its_own_in_the_child
    mutex, lock, semaphore = Ecru::Mutex.new, Ecru::RWMutex.new, Ecru::Semaphore.new(1)
    forks = -> { mutex.synchronize { lock.write { semaphore.hold { in_child { [told { mutex.unlock }, told { lock.unlock }, told { semaphore.release }, everything.first] } } } } }
    assert_equal ["nothing"] * 3 + [42], forks.call
    assert_equal ["nothing"] * 3 + [42], Thread.new(&forks).value
    others = mutex.synchronize { Thread.new { in_child { [told { mutex.unlock }, mutex.try_lock] } }.value }
    assert_equal ["ECRU_EPERM", false], others
  end

  def test_what_a_scope_was_cancelled_with_is_known_in_a_child
    token = Ecru::Token.new
    token.under do
      assert_equal "nothing", in_child { told { Ecru.check } }
      token.cancel(Ecru::EPIPE)
      assert_equal ["ECRU_ECANCELED", Ecru::EPIPE], in_child { [told { Ecru.check }, Ecru::Token.current.cause] }
    end
  end

  def test_the_time_of_a_scope_ends_in_a_child_too
    assert_equal %w[ECRU_ETIMEDOUT nothing], in_child_under_time { [told { Ecru.sleep }, Ecru.shield { told { Ecru.check } }] }
    assert_equal "ECRU_ETIMEDOUT", in_child_under_time { in_child { told { Ecru.sleep } } }
  end

  def in_child_under_time(&block) = Ecru.timeout(0.05) { in_child(&block) }

  def test_a_child_cancels_its_own_part_of_a_scope
    token = Ecru::Token.new
    answer = token.under do
      in_child do
        inherited = Ecru::Token.current
        task = Ecru.go { Ecru.sleep }
        inherited.cancel
        [told { Ecru.check }, told { Ecru.shield { task.join } }]
      end
    end
    assert_equal ["ECRU_ECANCELED"] * 2, answer
    refute token.fired?
  end

  # Both leave the scopes that they were in: the child and, with fork, its parent.
  LEAVING = <<~RUBY
    require "ecru"
    told = -> { (Ecru.check; "nothing") rescue $!.name }
    suspended = Fiber.new { Ecru.timeout(0) { Fiber.yield; told.call } }
    suspended.resume
    Ecru.timeout(0) do
      Ecru.shield do
        %s
        puts told.call
      end
      puts told.call
    end
    puts told.call, suspended.resume, told.call
  RUBY

  def test_scopes_are_left_in_a_child
    ["(pid = fork) && exit!(Process.wait2(pid).last.exitstatus)", "Process.daemon(true, true)"].each do |forks|
      ruby = [RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", format(LEAVING, forks)]
      assert_equal "nothing\nECRU_ETIMEDOUT\nnothing\nECRU_ETIMEDOUT\nnothing\n", IO.popen(ruby, &:read)
    end
  end

  def test_signals_end_waits_in_a_child
    reading, writing = IO.pipe
    parked { Ecru.sleep }
    Timeout.timeout(0.001) { Ecru.sleep } rescue nil
    pid = fork do
      main, left = Thread.current, 5
      tell = -> { Thread.new { Thread.pass until main.status == "sleep" && writing.write("x") } }
      trap("TERM") { (left -= 1).zero? ? exit!(7) : tell.call }
      tell.call
      Ecru.sleep
    ensure
      exit!(8)
    end
    writing.close
    5.times do
      assert reading.wait_readable(60), "the child hangs"
      assert_equal "x", reading.read(1)
      Process.kill("TERM", pid)
    end
    assert reading.wait_readable(60), "the child hangs"
    assert_equal 7, Process.wait2(pid).last.exitstatus
    pid = nil
  ensure
    Process.kill("KILL", pid) && Process.wait(pid) if pid
  end

  def test_children_while_others_are_busy
    over = Ecru::Token.new
    pairs = Array.new(3) do
      one, other = Ecru::Chan.new, Ecru::Chan.new(1)
      [Ecru.go { over.under { loop { one << other.recv } } }, Ecru.go { over.under { loop { other << 1 && one.recv } } }]
    end
    20.times { assert_equal 42, in_child { everything.first } }
    over.under { 20.times { assert_equal 42, in_child { everything.first } } }
    over.cancel
    pairs.flatten.each { |task| assert_raises(Ecru::Cancelled) { task.join } }
  end
end
