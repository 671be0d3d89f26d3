# Scopes of Fibers: one that is suspended leaves its own, and has them again when it is resumed.
require "ecru"
require "minitest/autorun"

class TestFibers < Minitest::Test
  def expired?
    Ecru.check
    false
  rescue Ecru::DeadlineExceeded
    true
  end

  def setup = refute(expired?)
  def teardown = refute(expired?)

  def in_a_scope(token = nil)
    Fiber.new do
      within = -> { loop { Fiber.yield expired? } }
      token ? token.under(&within) : Ecru.timeout(0, &within)
    end
  end

  def test_the_resumer_is_not_under_it
    fiber = in_a_scope
    3.times do
      assert fiber.resume
      refute expired?
      Ecru.sleep(0.001)
    end
  end

  def test_a_fiber_is_under_its_resumers
    plain = Fiber.new { loop { Fiber.yield expired? } }
    refute plain.resume
    Ecru.timeout(0) { assert plain.resume }
    refute plain.resume
    nested = Fiber.new { loop { Fiber.yield plain.resume } }
    Ecru.timeout(0) { assert nested.resume }
    refute nested.resume
    Ecru.timeout(0) do
      Ecru.shield do
        refute nested.resume
        assert in_a_scope.resume
      end
      assert nested.resume
    end
  end

  def test_scopes_that_end_in_another_order
    gates = Array.new(3) { Ecru::Token.new }
    fibers = gates.map do |gate|
      Fiber.new do
        gate.under { Ecru.timeout(1000) { Fiber.yield } }
        expired?
      end
    end
    fibers.each(&:resume)
    gates.each(&:cancel)
    fibers.rotate.each { |fiber| refute fiber.resume }
  end

  def test_enumerators
    chan = Ecru::Chan.new(3)
    3.times { |i| chan << i }
    chan.close
    slow = Enumerator.new { |y| Ecru.timeout(0) { chan.length.times { y << expired? } } }
    assert slow.next
    refute expired?
    values = chan.each
    assert_equal 0, Ecru.timeout(1000) { values.next }
    assert slow.next
    assert_equal [1, 2], [values.next, values.next]
    assert_raises(StopIteration) { values.next }
  end

  def test_the_scope_of_a_fiber_that_is_dropped
    100.times { in_a_scope.resume }
    GC.start
    refute expired?
  end

  def test_a_fiber_that_fails_and_one_that_is_ended_in_a_scope
    failing = Fiber.new { Ecru.timeout(0) { Fiber.yield; raise "oh" } }
    failing.resume
    refute expired?
    assert_raises(RuntimeError) { failing.resume }
    refute expired?
    ended = Fiber.new { Ecru.timeout(0) { Fiber.yield } }
    ended.resume
    assert_raises(IOError) { ended.raise(IOError) }
  end

  def test_transfer
    root = Fiber.current
    other = Fiber.new { Ecru.timeout(0) { loop { root.transfer(expired?) } } }
    2.times do
      assert other.transfer
      refute expired?
    end
  end

  def test_in_threads
    test = self
    Array.new(4) { Thread.new { 50.times { test.test_the_resumer_is_not_under_it && test.test_a_fiber_is_under_its_resumers } } }.each(&:join)
  end

  def test_under_gc_stress
    fiber = in_a_scope
    GC.stress = true
    3.times do
      assert fiber.resume
      refute expired?
    end
  ensure
    GC.stress = false
  end
end
