module Ecru
  # A thread that can be waited for, many times and from many places. It runs under a token of its own, a child of its starter's.
  class Task
    attr_reader :native # :nodoc:
    # Fires when it is cancelled; the task's own.
    attr_reader :token

    def initialize(*arguments, token: nil, name: nil, &block)
      raise Ecru.error(Core::EINVAL, "a block was expected") unless block
      job = Core::Job.new
      @native = Core::NativeTask.adopt(job, token, name)
      @token = @native.token
      Thread.handle_interrupt(Object => :never) { start(job, name, arguments, block) }
    end

    # Waits for its end. returns: what its block gave; raises what its block raised.
    def join
      raise Ecru.error(Core::EDEADLK) if Thread.current.thread_variable_get(:ecru_task).equal?(self)
      status = @native.join
      raise @error if @error
      raise Ecru.error(status) if status.negative? # killed
      @value
    end
    alias value join

    # The end of what it waits for, from now on. cause: a negative status.
    def cancel(cause = nil) = @native.cancel(cause)
    def done? = @native.state != Core::TASK_RUNNING
    def id = @native.id

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
      status = Core::ECANCELED
      @token.under do
        @value = Thread.handle_interrupt(Object => :immediate) { block.call(*arguments) }
        status = 0
      end
    rescue Exception => @error # rubocop:disable Lint/RescueException
      status = Ecru.status_of(@error)
    ensure
      @token.cancel unless @error || status.zero? # killed
      job.finish(status)
    end
  end

  class << self
    # Starts the block in a thread. Its failure is told if nobody joins.
    def go(*arguments, token: nil, name: nil, &block) = Task.new(*arguments, token: token, name: name, &block)
    alias spawn go

    # The status that stands for an exception.
    def status_of(exception) = exception.is_a?(Error) ? exception.code : Core::EPANIC # :nodoc:

    # Waits for all. returns: what each gave, in order; raises what the first in order that failed has raised, after all have ended.
    def join_all(*tasks)
      tasks = tasks.flatten
      failed = nil
      values = tasks.map do |task|
        task.join
      rescue StandardError => problem
        raise unless task.done? # not the task's: the caller was cancelled
        failed ||= problem
        nil
      end
      raise failed if failed
      values
    end

    # The first to succeed; the rest are cancelled and waited for. returns: its index and its value.
    def join_any(*tasks)
      left = tasks.flatten
      raise Ecru.error(Core::EINVAL, "join_any of no task") if left.empty?
      failed = nil
      while left.any?
        index = select(*left).index
        task, left[index] = left[index], nil
        begin
          return index, task.join
        rescue StandardError => problem
          failed ||= problem
        end
      end
      raise failed
    ensure
      left&.compact&.each(&:cancel)
      shield { left&.compact&.each { |task| task.join rescue nil } } if left&.any? # rubocop:disable Style/RescueModifier
    end
  end
end
