# There and back between two threads, in alternation with Ruby's own: build/swig/ruby bindings/swig/ruby/tests/handoff.rb [how often]
require "ecru"

TIMES = Integer(ARGV.fetch(0, "20000"))

def there_and_back(there, back)
  other = Thread.new { TIMES.times { back << there.pop } }
  began = Ecru.now
  TIMES.times do |i|
    there << i
    back.pop
  end
  other.join
  (Ecru.now - began) / TIMES * 1e6
end

pairs = {
  "Queue" => -> { Queue.new }, "SizedQueue(1)" => -> { SizedQueue.new(1) },
  "Chan" => -> { Ecru::Chan.new }, "Chan(1)" => -> { Ecru::Chan.new(1) }, "IntChan" => -> { Ecru::IntChan.new },
}
rounds = Array.new(5) { pairs.transform_values { |make| there_and_back(make.call, make.call) } }
pairs.each_key do |name|
  figures = rounds.map { |round| round[name] }.sort
  printf("%-14s least %.2f us, median %.2f us\n", name, figures.first, figures[2])
end
