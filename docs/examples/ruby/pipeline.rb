# A pipeline of three stages, generate -> square -> sink. It ends from either side and leaks nothing: when the generator has no more it closes its
# channel, and that runs down the pipeline; when the sink has enough it cancels, and every stage that waits, wherever it waits, stops.
require "ecru"

# Adds up squares until they end or the sum is above enough.
def run(last, enough)
  numbers = Ecru::Chan.new
  squares = Ecru::Chan.new(8)
  sum = 0
  stages = Ecru::Group.new
  stages.go do
    (1..last).each { |n| numbers << n }
    numbers.close
  end
  stages.go do
    numbers.each { |n| squares << n * n }
    squares.close
  end
  squares.each { |n| break if (sum += n) > enough }
  stages.cancel # what still runs
  begin
    stages.wait
  rescue Ecru::Cancelled
    nil # as asked for
  end
  sum
end

puts "to the end: 1 + 4 + ... + 100 = #{run(10, 1_000_000)}"
puts "cancelled:  1 + 4 + ... > 1000 at #{run(1_000_000_000, 1000)}"
