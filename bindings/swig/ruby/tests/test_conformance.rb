# conformance.txt, which says how it is to be read.
require "ecru"
require "minitest/autorun"

module Conformance
  BLOCKS = %w[go in under timeout shield].freeze
  Step = Struct.new(:line, :words, :wanted, :steps)
  Case = Struct.new(:name, :steps)
  class Failed < StandardError; end

  def self.read(path)
    cases = []
    open = []
    File.foreach(path).with_index(1) do |text, number|
      body, wanted = text.sub(/#.*/, "").split("->").map(&:strip)
      words = (body || "").split
      case words.first
      when nil then next
      when "case"
        raise "a block without end before line #{number}" if open.size > 1
        open = [cases.push(Case.new(words[1], [])).last]
      when "end" then open.pop.wanted = wanted
      else
        step = Step.new(number, words, wanted, [])
        open.last.steps << step
        open << step if BLOCKS.include?(words.first)
      end
    end
    cases
  end
end

# One case: its objects and operations.
class Run
  NONE = Object.new

  def initialize = @objects = {}

  # What a `return` among the steps gives, else nil. An error that was not expected is raised.
  def run(steps)
    steps.each do |step|
      return Integer(step.words[1]) if step.words[0] == "return"
      raise Ecru.error(status(step.words[1])) if step.words[0] == "fail"
      got = outcome(step)
      next if step.wanted.nil? || got == step.wanted
      raise Conformance::Failed, "line #{step.line}: #{step.words.join(" ")}: got #{got}, not #{step.wanted}"
    end
    nil
  end

  private

  def outcome(step)
    text(perform(step, *step.words))
  rescue Ecru::Error => problem
    raise unless step.wanted
    name(problem)
  end

  def text(value)
    case value
    when nil then "ok"
    when NONE then "none"
    else value.to_s
    end
  end

  def name(problem) = problem.name.delete_prefix("ECRU_")
  def status(name) = name && Ecru.const_get(name)
  def seconds(milliseconds) = Float(milliseconds) / 1000
  def named(code) = code.zero? ? 0 : name(Ecru.error(code))

  def perform(step, operation, first = nil, *rest)
    object = @objects[first]
    case operation
    when "chan" then @objects[first] = make_chan(*rest)
    when "send" then object.send(Integer(rest[0]))
    when "recv" then object.recv
    when "try_send" then object.try_send(Integer(rest[0]))
    when "try_recv" then object.try_recv(NONE)
    when "close" then object.close(status(rest[0]))
    when "closed" then object.closed?
    when "len" then object.length
    when "cap" then object.capacity || "inf"
    when "go" then @objects[first] = Ecru.go { run(step.steps) }
    when "join" then object.join
    when "cancel" then object.cancel(status(rest[0]))
    when "done" then object.done?
    when "join_all" then Ecru.join_all(@objects.values_at(first, *rest)) && nil
    when "join_any" then Ecru.join_any(@objects.values_at(first, *rest))[0] + 1
    when "token" then @objects[first] = make_token(*rest)
    when "error" then named(object.error)
    when "cause" then named(object.cause)
    when "under" then object.under { run(step.steps) }
    when "timeout" then Ecru.timeout(seconds(first)) { run(step.steps) }
    when "shield" then Ecru.shield { run(step.steps) }
    when "sleep" then Ecru.sleep(seconds(first))
    when "check" then Ecru.check
    when "yield" then Ecru.pass
    when "select" then select(step.words.drop(1).join(" "))
    when "group" then @objects[first] = Ecru::Group.new(limit: rest.include?("limit") ? Integer(rest.last) : nil, supervisor: rest.include?("supervisor"))
    when "in" then object.go { run(step.steps) } && nil
    when "wait" then object.wait && nil
    when "errors" then object.errors.size
    when "mutex" then @objects[first] = Ecru::Mutex.new
    when "rwmutex" then @objects[first] = Ecru::RWMutex.new
    when "semaphore" then @objects[first] = Ecru::Semaphore.new(Integer(rest[0]))
    when "waitgroup" then @objects[first] = Ecru::WaitGroup.new
    when "barrier" then @objects[first] = Ecru::Barrier.new(Integer(rest[0]))
    when "ticker" then @objects[first] = Ecru.ticker(seconds(rest[0]))
    when "timer" then @objects[first] = Ecru::Timer.new(seconds(rest[0]))
    when "listener" then @objects[first] = Ecru.listen("tcp", "127.0.0.1:0")
    when "done_one" then object.done
    when "meet" then object.wait
    when "free" then object.close
    when "lock", "try_lock", "unlock", "read_lock", "try_read_lock", "read_unlock", "acquire", "try_acquire", "release", "available", "add", "stop"
      object.public_send(operation, *rest.map { |word| Integer(word) })
    else raise "no operation #{operation}"
    end
  end

  def make_chan(capacity, policy = "wait") = Ecru::Chan.new(capacity == "inf" ? nil : Integer(capacity), full: policy.to_sym)

  def make_token(*words)
    parent = @objects[words.shift] if words.any? && words[0] !~ /\A-?\d/
    Ecru::Token.new(parent, words[0] && seconds(words[0]))
  end

  def select(text)
    cases, options = text.split("--").map(&:strip)
    words = (options || "").split
    timeout = seconds(words.last) if words.include?("timeout")
    picked = Ecru.select(*cases.split("|").map { |one| select_case(*one.split) },
                         timeout: timeout, poll: words.include?("poll"), priority: words.include?("priority"))
    return NONE unless picked
    [picked.index + 1, picked.error ? name(picked.error) : picked.value].compact.join(" ")
  end

  def select_case(kind, object = nil, value = nil)
    case kind
    when "recv", "token", "task" then @objects[object]
    when "send" then @objects[object].sending(Integer(value))
    when "timer" then Ecru::Timer.new(seconds(object))
    when "nothing" then nil
    end
  end
end

class TestConformance < Minitest::Test
  CASES = Conformance.read(ENV.fetch("ECRU_CONFORMANCE", "bindings/swig/conformance.txt"))

  def test_there_are_many = assert_operator(CASES.size, :>=, 60)

  CASES.each do |one|
    define_method("test_#{one.name}") { Ecru.timeout(60) { Run.new.run(one.steps) } }
  end
end
