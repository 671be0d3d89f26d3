# A worker pool: four threads work on a hundred numbers from a queue with room for eight. Whoever submits waits while the queue is full; the first
# failure stops the pool and comes back from the scope.
require "ecru"

def prime?(number)
  raise Ecru.error(Ecru::EINVAL) if number < 2
  (2..Integer.sqrt(number)).none? { |divisor| (number % divisor).zero? }
end

def count_primes(numbers)
  queue = Ecru::Chan.new(8)
  primes = Ecru::Chan.new(nil)
  Ecru.scope do |pool|
    4.times { pool.go { queue.each { |number| primes << number if prime?(number) } } }
    pool.go do # in the pool, too, so that it stops with the workers
      numbers.each { |number| queue << number }
      queue.close
    end
  end
  primes.length
end

numbers = (10**10...10**10 + 100).to_a
puts "#{count_primes(numbers)} primes among #{numbers.size} numbers from 10^10"
begin
  count_primes([*numbers.first(50), 1, *numbers.last(49)]) # no worker can do anything with the 1
rescue Ecru::Error => problem
  puts "#{problem.message}: the pool has stopped"
end
