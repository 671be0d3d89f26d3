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

  def test_wrong_arguments
    chan = Ecru::Chan.new
    [-> { Ecru::Chan.new(-1) }, -> { Ecru::Chan.new("x") }, -> { Ecru::Chan.new(1, full: :what) }, -> { Ecru::Chan.new(2**64) },
     -> { Ecru.sleep("soon") }, -> { Ecru.sleep(-1) }, -> { Ecru.sleep(Float::NAN) }, -> { Ecru::Semaphore.new(nil) },
     -> { Ecru::Token.new(5) }, -> { Ecru::Cond.new.wait(chan) }, -> { Ecru::Cond.new.wait(nil) }, -> { Ecru.select(5) },
     -> { Ecru.go }, -> { Ecru.timeout(1) }, -> { Ecru::IntChan.new(1).send("x") }, -> { Ecru::IntChan.new(1).send(2**63) },
     -> { Ecru::ByteChan.new(1).send(5) }, -> { chan.close(5) }, -> { Ecru.dial("tcp", nil) }, -> { Ecru.dial("tcp", "a\0b") },
     -> { Ecru::Limiter.new("x", 1) }, -> { Ecru::Core.send_object(5, {}, 1) }, -> { Ecru::Core.between }].each do |wrong|
      raises(Ecru::Error) { wrong.call }
    end
    assert_raises(ArgumentError) { Ecru::Mutex.new(1) }
    raises(Ecru::InvalidArgument, Ecru::EINVAL) { Ecru::Mutex.allocate.lock }
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

  def test_closing_while_others_wait
    semaphore = Ecru::Semaphore.new(1)
    semaphore.acquire
    task = Ecru.go { semaphore.acquire }
    thread = nil
    thread = Thread.list.find { |t| t.thread_variable_get(:ecru_task).equal?(task) } until thread
    Thread.pass until thread.status == "sleep"
    semaphore.close
    task.cancel
    raises(Ecru::Cancelled, Ecru::ECANCELED) { task.join }
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
