# Many threads that wait, under the collector. ECRU_CROWD: how many.
require "ecru"
require "minitest/autorun"

class TestCrowd < Minitest::Test
  def test_many_wait_while_the_collector_runs
    crowd = Integer(ENV.fetch("ECRU_CROWD", "500"))
    chan = Ecru::Chan.new
    tasks = Array.new(crowd) { |i| Ecru.go { [chan.recv, "object #{i}"] } }
    5.times { GC.start }
    GC.compact
    crowd.times { |i| chan << "value #{i}" }
    values = tasks.map(&:join)
    assert_equal crowd, values.map(&:first).uniq.size
    assert_equal "object #{crowd - 1}", values.last[1]
    assert_empty chan.objects
  end

  def test_a_crowd_is_cancelled_at_once
    tasks = Array.new(200) { Ecru.go { Ecru.sleep } }
    tasks.each(&:cancel)
    tasks.each { |task| assert_raises(Ecru::Cancelled) { task.join } }
  end
end
