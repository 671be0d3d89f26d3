module Ecru
  # A thread that can be waited for, many times and from many places. It runs under a token of its own, a child of its starter's.
  class Task
    # What C has of it.
    def native = @native || raise(Ecru.error(Core::EINVAL, "a task was expected: does its class's initialize call super?")) # :nodoc:
    # Fires when it is cancelled; the task's own.
    attr_reader :token

    def initialize(*arguments, token: nil, name: nil, &block)
      raise Ecru.error(Core::EINVAL, "a block was expected") unless block
      Ecru.check_name(name)
      @forks = Core.forks
      job = Core::Job.new
      @native = Core::NativeTask.adopt(job, token, name)
      @token = @native.token
      Thread.handle_interrupt(Object => :never) { start(job, name, arguments, block) }
    end

    # Waits for its end. returns: what its block gave; raises what its block raised.
    def join
      value, problem = outcome
      raise problem if problem
      value
    end
    alias value join

    # The end of what it waits for, from now on. cause: a negative status.
    def cancel(cause = nil) = native.cancel(cause)
    def done? = native.state != Core::TASK_RUNNING
    def id = native.id

    # Waits for its end. returns: what its block gave, what its block raised; raises what ends the caller's wait only.
    def outcome # :nodoc:
      raise Ecru.error(Core::EDEADLK) if Thread.current.thread_variable_get(:ecru_task).equal?(self)
      status = awaited.join
      observe
      [@value, @error || (Ecru.error(status) if status.negative?)] # no error of its own: killed
    end
    # For who waits: a parent's that had not ended has nobody who would end it.
    def awaited # :nodoc:
      raise Ecru.error(Core::EFORKED) unless done? || own?
      native
    end
    # Not a forked child's parent's.
    def own? = @forks == Core.forks # :nodoc:
    # Somebody has asked for its end.
    def observe = @failure&.observe # :nodoc:

    # What a task was ended by, for the time that nobody has asked for it.
    class Failure # :nodoc:
      def initialize(id, name, error)
        @heading = "ecru: task #{id}#{" \"#{name}\"" if name} failed and nobody looked:\n"
        @error = error
        @forks = Core.forks
      end

      def observe = @error = nil
      # The finalizer of the task.
      def call(_) = @error && @forks == Core.forks && $stderr.write(@heading, @error.full_message)
    end
    private_constant :Failure

    private

    def start(job, name, arguments, block)
      thread = Thread.new { run(job, arguments, block) }
      thread.name = name
    rescue ThreadError => problem
      job.finish(Core::ETHREADS)
      @native.join
      raise Ecru.error(Core::ETHREADS, problem.message)
    end

    # Interrupts come in the block only: whatever ends it, the task ends.
    def run(job, arguments, block)
      Thread.current.thread_variable_set(:ecru_task, self)
      Thread.current.report_on_exception = false
      status = Core::ECANCELED # killed
      @token.under do
        @value = Thread.handle_interrupt(Object => :immediate) { block.call(*arguments) }
        status = 0
      end
    rescue Exception => @error # rubocop:disable Lint/RescueException
      status = failed
    ensure
      @token.cancel unless @error || status.zero? # killed
      job.finish(status)
    end

    # returns: the status for ecru. It does not tell of it, as it does not know the exception.
    def failed
      status = Ecru.status_of(@error)
      return status if status == Core::ECANCELED
      @failure = Failure.new(id, Thread.current.name, @error)
      ObjectSpace.define_finalizer(self, @failure)
      0
    end
  end

  class << self
    # Starts the block in a thread. Its failure is told if nobody joins.
    def go(*arguments, token: nil, name: nil, &block) = Task.new(*arguments, token: token, name: name, &block)
    alias spawn go

    # Before a thread is started: Thread#name= would refuse it after that.
    def check_name(name) # :nodoc:
      return if name.nil? || (name.is_a?(String) && name.encoding.ascii_compatible? && !name.b.include?("\0"))
      raise error(Core::EINVAL, "a name is a String without zeros")
    end

    # The status that stands for an exception.
    def status_of(exception) = exception.is_a?(Error) ? exception.code : Core::EPANIC # :nodoc:

    # Waits for all. returns: what each gave, in order; raises what the first in order that failed has raised, after all have ended.
    def join_all(*tasks)
      tasks = tasks_of(tasks)
      failed = nil
      values = tasks.map do |task|
        value, problem = task.outcome
        failed ||= problem
        value
      end
      raise failed if failed
      values
    end

    # The first to succeed; the rest are cancelled and waited for. returns: its index and its value.
    def join_any(*tasks)
      left = tasks_of(tasks).each(&:awaited)
      raise Ecru.error(Core::EINVAL, "join_any of no task") if left.empty?
      failed = nil
      while left.any?
        index = select(*left).index
        task, left[index] = left[index], nil
        value, problem = task.outcome
        return index, value unless problem
        failed ||= problem
      end
      raise failed
    ensure
      left&.compact&.each { |task| task.cancel if task.own? }
      shield { left.compact.each { |task| wait_for_loser(task) } } if left&.any?
    end

    private

    def tasks_of(list)
      list.flatten.each { |task| raise error(Core::EINVAL, "no task: #{task.inspect}") unless task.is_a?(Task) }
    end

    def wait_for_loser(task)
      task.outcome
    rescue Error
      nil # the caller's own task
    end
  end
end
