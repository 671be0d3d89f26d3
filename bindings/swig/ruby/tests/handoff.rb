# There and back between two threads, in alternation with Ruby's own, in time and in the processors' time, which other work disturbs less: build/swig/ruby bindings/swig/ruby/tests/handoff.rb [how often]
require "ecru"

TIMES = Integer(ARGV.fetch(0, "20000"))

def processors_time = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)

# returns: microseconds of time, and of the processors'.
def there_and_back(there, back)
  other = Thread.new { TIMES.times { back << there.pop } }
  began, worked = Ecru.now, processors_time
  TIMES.times do |i|
    there << i
    back.pop
  end
  other.join
  [Ecru.now - began, processors_time - worked].map { |seconds| seconds / TIMES * 1e6 }
end

pairs = {
  "Queue" => -> { Queue.new }, "SizedQueue(1)" => -> { SizedQueue.new(1) },
  "Chan" => -> { Ecru::Chan.new }, "Chan(1)" => -> { Ecru::Chan.new(1) }, "IntChan" => -> { Ecru::IntChan.new },
}
rounds = Array.new(5) { pairs.transform_values { |make| there_and_back(make.call, make.call) } }
pairs.each_key do |name|
  time, work = rounds.map { |round| round[name] }.transpose.map(&:sort)
  printf("%-14s least %.2f us, median %.2f us; processors least %.2f us, median %.2f us\n", name, time.first, time[2], work.first, work[2])
end
