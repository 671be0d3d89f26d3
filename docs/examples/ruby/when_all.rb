# Waiting for all: five services are asked at once, and all outcomes come back in order, not only the first failure.
require "ecru"

SERVICES = {
  "users" => [0.03, "17 users"],
  "orders" => [0.02, Ecru::EIO],
  "prices" => [0.01, "3 prices"],
  "stock" => [0.005, Ecru::ENOENT],
  "mail" => [0.001, "no mail"],
}.freeze

def ask((delay, answer))
  Ecru.sleep(delay)
  raise Ecru.error(answer) if answer.is_a?(Integer)
  answer
end

def outcome(task)
  task.join
rescue Ecru::Error => problem
  problem.message
end

tasks = SERVICES.transform_values { |service| Ecru.go { ask(service) } }
tasks.each { |name, task| puts "#{name.ljust(7)} #{outcome(task)}" }
begin
  Ecru.join_all(tasks.values)
rescue Ecru::Error => problem
  puts "in all: #{problem.message}"
end
