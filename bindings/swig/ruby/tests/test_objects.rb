# Objects through channels under the collector and the compactor; wrong arguments; what is closed; errors.
require "ecru"
require "minitest/autorun"
require "weakref"

class TestObjects < Minitest::Test
  def raises(type, code = nil)
    problem = assert_raises(type) { yield }
    assert_operator problem.code, :<, 0
    assert_match(/\AECRU_E/, problem.name)
    assert_equal code, problem.code if code
  end

  def test_any_object_goes_through_as_it_is
    chan = Ecru::Chan.new(nil)
    objects = [nil, false, 1, 2**70, 1.5, "text", :symbol, [1], {a: 1}, Object.new, -> { 3 }]
    objects.each { |object| chan << object }
    chan.close
    chan.each.zip(objects) { |got, sent| sent.nil? ? assert_nil(got) : assert_same(sent, got) }
    assert_empty chan.objects
  end

  def test_a_channel_is_enumerable
    chan = Ecru::Chan.new
    Ecru.go do
      10.times { |i| chan << i }
      chan.close
    end
    assert_equal [0, 4, 16, 36, 64], chan.select(&:even?).map { |i| i * i }
    bytes = Ecru::ByteChan.new(3)
    %W[a b\0c #{""}].each { |text| bytes << text }
    bytes.close
    assert_equal ["a", "b\0c", ""], bytes.to_a
    numbers = Ecru::IntChan.new(2)
    numbers << -(2**63) << 2**63 - 1
    numbers.close
    assert_equal [-(2**63), 2**63 - 1], numbers.to_a
  end

  def test_gc_stress
    chan = Ecru::Chan.new(2)
    GC.stress = true
    sender = Ecru.go do
      2.times { |i| chan << "object #{i}" }
      chan.close
    end
    got = []
    while (picked = Ecru.select(chan)) && !picked.error
      got << picked.value
    end
    sender.join
    GC.stress = false
    assert_equal (0...2).map { |i| "object #{i}" }, got
  ensure
    GC.stress = false
  end

  def test_compaction_moves_what_is_in_a_channel
    chan = Ecru::Chan.new(nil)
    1000.times { |i| chan << "object #{i}" }
    3.times do
      GC.compact
      Array.new(1000) { Object.new }
    end
    chan.close
    assert_equal((0...1000).map { |i| "object #{i}" }, chan.to_a)
  end

  def test_the_collector_finds_cycles_through_channels
    references = Array.new(50) { cycle }
    3.times { GC.start }
    assert_operator references.count { |r| r.weakref_alive? }, :<=, 5 # what looks like one on a stack
  end

  def cycle
    chan = Ecru::Chan.new(1)
    chan << [chan]
    WeakRef.new(chan)
  end

  def test_nothing_is_left_of_what_gave_way_or_was_not_sent
    [%i[drop_newest], %i[drop_oldest]].each do |(policy)|
      chan = Ecru::Chan.new(2, full: policy)
      10.times { |i| chan << i }
      10.times { |i| assert_equal 0, Ecru.select(chan.sending(i)).index }
      assert_equal 2, chan.objects.size
    end
    chan = Ecru::Chan.new(1)
    chan << 1
    assert_equal false, chan.try_send(2)
    assert_raises(Ecru::DeadlineExceeded) { Ecru.timeout(0) { chan << 3 } }
    assert_nil Ecru.select(chan.sending(4), poll: true)
    assert_equal 1, chan.objects.size
    chan.close
    raises(Ecru::Closed) { chan << 5 }
    assert_equal [1], chan.to_a
    assert_empty chan.objects
  end

  def test_a_channel_of_other_elements_is_not_taken
    bytes, numbers = Ecru::ByteChan.new(1).retain, Ecru::IntChan.new(1).retain
    raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru::IntChan.at(bytes) }
    raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru::ByteChan.at(numbers) }
    raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru::IntChan.at(0) }
    Ecru::ByteChan.at(bytes).close
    Ecru::IntChan.at(numbers).close
  end

  def test_wrong_arguments
    chan = Ecru::Chan.new
    [-> { Ecru::Chan.new(-1) }, -> { Ecru::Chan.new("x") }, -> { Ecru::Chan.new(1, full: :what) }, -> { Ecru::Chan.new(2**64) },
     -> { Ecru.sleep("soon") }, -> { Ecru.sleep(Float::NAN) }, -> { Ecru::Semaphore.new(nil) },
     -> { Ecru::Token.new(5) }, -> { Ecru::Cond.new.wait(chan) }, -> { Ecru::Cond.new.wait(nil) }, -> { Ecru.select(5) },
     -> { Ecru.go }, -> { Ecru.timeout(1) }, -> { Ecru::IntChan.new(1).send("x") }, -> { Ecru::IntChan.new(1).send(2**63) },
     -> { Ecru::IntChan.new(1).send(-(2**63) - 1) }, -> { Ecru::IntChan.new(1).send(-(2**64)) }, -> { Ecru::IntChan.new(1).send(-(2**65)) },
     -> { Ecru.go(name: 5) { flunk } }, -> { Ecru.go(name: "a\0b") { flunk } }, -> { Ecru.go(name: "a".encode("UTF-16LE")) { flunk } },
     -> { Ecru::ByteChan.new(1).send(5) }, -> { chan.close(5) }, -> { Ecru.dial("tcp", nil) }, -> { Ecru.dial("tcp", "a\0b") },
     -> { Ecru::Limiter.new("x", 1) }, -> { Ecru::Core.send_object(5, {}, 1) }, -> { Ecru::Core.between(:no, nil, nil) {} },
     -> { Ecru::Core.between(:hold, Ecru::Mutex.new, 1) {} }, -> { Ecru::Mutex.new.synchronize }, -> { Ecru.select(chan, timeout: "x") },
     -> { Ecru.select(chan, timeout: Complex(1, 2)) }, -> { Ecru.sleep(Complex(1, 2)) },
     -> { Ecru.join_any(1) }, -> { Ecru.join_all(1) }, -> { Ecru.join_all([nil]) }, -> { Ecru.scope }, -> { Ecru.go(token: 5) { flunk } }].each do |wrong|
      raises(Ecru::InvalidArgument, Ecru::EINVAL) { wrong.call }
    end
    assert_raises(ArgumentError) { Ecru::Mutex.new(1) }
    raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru::Mutex.allocate.lock }
  end

  # Of a class whose initialize does not call super, or by allocate.
  def test_what_is_not_initialized_is_told
    [Ecru::Chan, Ecru::IntChan, Ecru::ByteChan].each do |type|
      bare = Class.new(type) { def initialize = nil }.new
      [-> { bare << "text" }, -> { bare.send(1) }, -> { bare.try_send(1) }, -> { bare.recv }, -> { bare.try_recv }, -> { bare.each { flunk } }, -> { bare.close },
       -> { bare.length }, -> { Ecru.select(bare) }, -> { Ecru.select(bare.sending(1)) }].each { |use| raises(Ecru::InvalidArgument, Ecru::EINVAL) { use.call } }
    end
    [:join, :cancel, :done?, :id].each { |method| raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru::Task.allocate.public_send(method) } }
    raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru.select(Ecru::Task.allocate) }
    bare = Class.new(Ecru::Group) { def initialize = nil }.new
    [-> { bare.go { flunk } }, -> { bare.wait }, -> { bare.cancel }, -> { bare.token }, -> { bare.finish(nil) }].each { |use| raises(Ecru::InvalidArgument, Ecru::EINVAL) { use.call } }
    native = Ecru::Chan.new(1).native
    [-> { Ecru::Core.send_object(native, nil, 1) }, -> { Ecru::Core.try_send_object(native, 5, 1) }, -> { Ecru::Core.recv_object(native, nil, nil, true) },
     -> { Ecru::Core.hold(nil, 1) }].each { |use| raises(Ecru::InvalidArgument, Ecru::EINVAL) { use.call } }
  end

  def test_an_error_of_the_programs_has_its_class_code
    {Ecru::Closed => Ecru::ECLOSED, Ecru::Cancelled => Ecru::ECANCELED, Ecru::DeadlineExceeded => Ecru::ETIMEDOUT, Ecru::InvalidArgument => Ecru::EINVAL,
     Class.new(Ecru::Closed) => Ecru::ECLOSED, Ecru::Error => Ecru::EUNKNOWN}.each do |type, code|
      raises(type, code) { raise type }
      raises(type, code) { raise type, "my words" }
      assert_equal "my words", type.new("my words").message
      assert_equal Ecru::Core.status_text(code), type.new.message
    end
    assert_equal [Ecru::EPIPE, "my words"], Ecru::Error.new(Ecru::EPIPE, "my words").then { |error| [error.code, error.message] }
  end

  def test_use_after_close
    things = {Ecru::Mutex.new => :lock, Ecru::RWMutex.new => :read_lock, Ecru::WaitGroup.new => :wait, Ecru::Semaphore.new(1) => :acquire,
              Ecru::Barrier.new(1) => :wait, Ecru::Timer.new(0) => :wait, Ecru::Token.new => :wait}
    things.each do |thing, method|
      thing.close
      thing.close
      raises(Ecru::Closed, Ecru::ECLOSED) { thing.public_send(method) }
    end
  end

  def waiting(&block)
    task = Ecru.go(&block)
    thread = nil
    thread = Thread.list.find { |t| t.thread_variable_get(:ecru_task).equal?(task) } until thread
    Thread.pass until thread.status == "sleep"
    task
  end

  # Who waits at a close can still be cancelled, or is given what it waits for, gives it back and fails.
  def test_closing_while_others_wait
    semaphore = Ecru::Semaphore.new(1)
    semaphore.acquire
    cancelled, closed = waiting { semaphore.acquire }, waiting { semaphore.acquire }
    semaphore.close
    raises(Ecru::Closed, Ecru::ECLOSED) { semaphore.acquire }
    cancelled.cancel
    raises(Ecru::Cancelled, Ecru::ECANCELED) { cancelled.join }
    refute closed.done?
    semaphore.release
    raises(Ecru::Closed, Ecru::ECLOSED) { closed.join }
    raises(Ecru::Closed, Ecru::ECLOSED) { semaphore.release }
  end

  def test_closing_a_locked_mutex_while_others_wait
    mutex = Ecru::Mutex.new
    mutex.lock
    tasks = Array.new(3) { waiting { mutex.synchronize { flunk } } }
    mutex.close
    mutex.unlock
    tasks.each { |task| raises(Ecru::Closed, Ecru::ECLOSED) { task.join } }
    raises(Ecru::Closed, Ecru::ECLOSED) { mutex.unlock }
  end

  def test_what_another_channel_dropped_is_not_taken_from_this_one
    chan = Ecru::Chan.new(nil)
    chan << :first
    ticket = chan.objects.keys.first
    numbers = Ecru::IntChan.new(1, full: :drop_oldest)
    2.times { numbers << ticket }
    fired = Ecru::Token.new.tap(&:cancel)
    fired.under { raises(Ecru::Cancelled) { chan << :second } }
    assert_equal :first, chan.recv
  end

  def test_the_collector_frees_what_nobody_closes
    before = rss
    3.times do
      3000.times { [Ecru::Mutex.new, Ecru::Chan.new(64), Ecru::Token.new, Ecru::Timer.new(100), Ecru::Cond.new] }
      GC.start
    end
    assert_operator rss - before, :<, 100 << 20
  end

  def rss = Integer(File.read("/proc/self/statm").split[1]) * 4096

  def test_errors_of_blocks_come_to_join
    problem = RuntimeError.new("oh")
    task = Ecru.go { raise problem }
    2.times { assert_same problem, assert_raises(RuntimeError) { task.join } }
    assert task.done?
    itself = nil
    itself = Ecru.go { Thread.pass until itself; itself.join }
    raises(Ecru::Error, Ecru::EDEADLK) { itself.join }
    killed = Ecru.go { Thread.current.kill }
    raises(Ecru::Cancelled) { killed.join }
    assert_equal [1, 2], Ecru.go(1, 2) { |a, b| [a, b] }.value
  end

  def test_errors_that_are_no_standard_errors_come_to_join_too
    refused = Ecru.go { raise NotImplementedError, "first" }
    assert_equal "first", assert_raises(NotImplementedError) { Ecru.join_all(refused, Ecru.go { raise "second" }) }.message
    started = Ecru::Chan.new
    loser = Ecru.go do
      started << true
      Ecru.sleep
    ensure
      raise NotImplementedError, "late"
    end
    started.recv
    assert_equal [1, :won], Ecru.join_any(refused, Ecru.go { :won }, loser)
    assert loser.done?
  end

  # What the program tells on stderr.
  def told(code)
    reading, writing = IO.pipe
    pid = spawn(RbConfig.ruby, *$LOAD_PATH.flat_map { |path| ["-I", path] }, "-e", "require 'ecru'; #{code}", err: writing)
    writing.close
    reading.read.tap { Process.wait(pid) }
  end

  def test_a_failure_that_nobody_looked_at_is_told_with_its_exception
    text = told('Ecru.go(name: "one") { raise ArgumentError, "the reason" }; Ecru.sleep(0.05)')
    assert_match(/task \d+ "one" failed and nobody looked/, text)
    assert_match(/-e:1:.*the reason.*ArgumentError/, text)
    assert_equal 1, text.scan("nobody looked").size
  end

  def test_a_failure_that_somebody_looked_at_is_not_told
    assert_empty told('Ecru.go { raise "oh" }.join rescue nil; Ecru.select(Ecru.go { raise "oh" })')
    assert_empty told('t = Ecru.go { Ecru.sleep }; t.cancel; t.join rescue nil; Ecru.go { Ecru.sleep }.cancel; Ecru.sleep(0.05)')
  end

  def test_blocks_leave_what_they_enter
    mutex = Ecru::Mutex.new
    assert_raises(RuntimeError) { mutex.synchronize { raise "oh" } }
    assert_equal :value, mutex.synchronize { :value }
    [1].each { mutex.synchronize { break } }
    assert mutex.try_lock
    semaphore = Ecru::Semaphore.new(3)
    assert_equal 1, semaphore.hold(2) { semaphore.available }
    assert_equal 3, semaphore.available
    catch(:out) { Ecru.timeout(0) { throw :out } }
    Ecru.check
  end

  def test_a_scope_waits_and_its_error_is_the_first
    done = Ecru::IntChan.new(3)
    assert_equal :result, Ecru.scope { |g| 3.times { |i| g.go { done << i } } && :result }
    assert_equal 3, done.length
    assert_equal "first", assert_raises(RuntimeError) { Ecru.scope { |g| g.go { Ecru.sleep } && g.go { raise "first" } } }.message
    assert_equal "body", assert_raises(RuntimeError) { Ecru.scope { |g| g.go { Ecru.sleep } && raise("body") } }.message
  end

  def leaves_by_return(ended)
    Ecru.scope do |group|
      group.go { Ecru.sleep(0.05); ended << true }
      return :returned
    end
  end

  def test_a_scope_that_is_left_waits
    ended = []
    [1].each { Ecru.scope { |group| group.go { Ecru.sleep(0.05); ended << true }; break } }
    assert_equal 1, ended.size
    assert_equal :returned, leaves_by_return(ended)
    assert_equal 2, ended.size
    catch(:out) { Ecru.scope { |group| group.go { Ecru.sleep(0.05); ended << true }; throw :out } }
    assert_equal 3, ended.size
    assert_raises(RuntimeError) { [1].each { Ecru.scope { |group| group.go { raise "child" }; break } } }
  end

  def test_a_wrong_name_starts_nothing_in_a_group
    group = Ecru::Group.new(limit: 1)
    [5, "a\0b", "a".encode("UTF-16LE")].each { |name| raises(Ecru::InvalidArgument) { group.go(name: name) { flunk } } }
    group.go(name: "right") { nil }
    group.wait
    assert_empty group.errors
  end

  def test_sockets
    listener = Ecru.listen("tcp", "127.0.0.1:0")
    server = Ecru.go do
      connection = listener.accept
      connection.each { |line| connection << "#{line.upcase}\n" }
      connection.close
    end
    connection = Ecru.dial("tcp", listener.local_address)
    connection << "one\n" << "two\n"
    assert_equal "ONE", connection.read_line
    assert_equal "TWO\n", connection.read_exactly(4)
    connection.write("x" * 3000 + "\n")
    assert_equal 3000, connection.read_line.bytesize
    connection.shutdown(Ecru::IO_WRITE)
    assert_nil connection.read_line
    server.join
    raises(Ecru::Error, Ecru::EEOF) { connection.read_exactly(1) }
    connection.close
    raises(Ecru::Closed) { connection.read }
  end
end
