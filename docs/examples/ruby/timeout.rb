# A deadline for a block of code: whatever waits in it, however deep, ends with DeadlineExceeded. The methods in between take no deadline and pass none on.
require "ecru"

def ask_server = Ecru.sleep(10) # a slow server

def look_up # knows nothing of deadlines
  ask_server
ensure
  Ecru.shield(1) do
    Ecru.sleep(0.001) # here it may wait
    puts "cleaned up"
  end
end

began = Ecru.now
begin
  Ecru.timeout(0.05) { look_up }
rescue Ecru::DeadlineExceeded => problem
  puts "look_up: #{problem.message}#{Ecru.now - began < 5 ? ", in time" : ", late"}"
end
Ecru.check # outside of the block the deadline is gone
puts "after the block: no deadline"
