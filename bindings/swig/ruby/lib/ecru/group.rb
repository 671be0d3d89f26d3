module Ecru
  # A scope of threads: none outlives wait; the first failure cancels the others. limit: so many at once. supervisor: a failure does not cancel.
  #
  # It is not C's own group, as Java's is: that is cancelled when who waits for it is, and Ruby ends a wait for each signal and Timeout, to go on after it.
  class Group
    attr_reader :errors
    # Fires when it is cancelled; the group's own.
    def token = @token || raise(Ecru.error(Core::EINVAL, "a group was expected: does its class's initialize call super?"))

    def initialize(limit: nil, supervisor: false, token: nil)
      @token = Token.new(token)
      @errors = []
      @running = WaitGroup.new
      @slots = limit && Semaphore.new(limit)
      @supervisor = supervisor
      @forks = Core.forks
    end

    # Starts the block in a thread, once fewer than the limit run.
    def go(*arguments, name: nil, &block)
      raise Ecru.error(Core::EINVAL, "a block was expected") unless block
      raise Ecru.error(Core::ESHUTDOWN) if @waited
      Ecru.check_name(name)
      check_forks
      Thread.handle_interrupt(Object => :on_blocking) do
        @token.under { @slots.acquire } if @slots
        @running.add(1)
        begin
          raise Ecru.error(@token.error) if @token.fired?
          start(name, arguments, block)
        rescue Exception # rubocop:disable Lint/RescueException
          leave
          raise
        end
      end
      self
    end

    def cancel(cause = nil) = token.cancel(cause)

    # Waits for all. Raises the first failure. Who is cancelled meanwhile cancels them and waits on.
    def wait
      raise Ecru.error(Core::EDEADLK) if Thread.current.thread_variable_get(:ecru_group).equal?(self)
      check_forks
      begin
        @running.wait
        @waited = true
      rescue Exception => problem # rubocop:disable Lint/RescueException
      ensure
        wait_out # Thread#kill is no exception
      end
      raise @errors.first if @errors.any?
      raise problem if problem
      raise @given_up if @given_up
    end

    # The end of a scope, whatever ends it: `break`, `return`, `throw` and Thread#kill are no exceptions.
    def finish(problem) # :nodoc:
      cancel if own? && (problem || Thread.current.status == "aborting")
      wait unless problem # whose block has failed raises that
    ensure
      wait_out
    end

    private

    # Not a parent's: those who ran in that are no more, and nobody counts them down.
    def own? = @forks == Core.forks
    def check_forks
      raise Ecru.error(Core::EFORKED) if token && !own?
    end

    # For who has not waited to the end: cancels them and waits, and interrupts come after that.
    def wait_out
      Thread.handle_interrupt(Object => :never) do
        next if @waited || !own?
        cancel
        Ecru.shield { @running.wait }
        @waited = true
      end
    end

    def leave
      @slots&.release
      @running.done
    end

    def start(name, arguments, block)
      thread = Thread.handle_interrupt(Object => :never) { Thread.new { run(arguments, block) } }
      thread.name = name
    rescue ThreadError => problem
      raise Ecru.error(Core::ETHREADS, problem.message)
    end

    def run(arguments, block)
      Thread.current.thread_variable_set(:ecru_group, self)
      Thread.current.report_on_exception = false
      @token.under { Thread.handle_interrupt(Object => :immediate) { block.call(*arguments) } }
    rescue Exception => problem # rubocop:disable Lint/RescueException
      failed(problem)
    ensure
      leave
    end

    def failed(problem)
      return @given_up ||= problem if problem.is_a?(Cancelled) && @token.fired?
      @errors << problem
      @token.cancel(Ecru.status_of(problem)) unless @supervisor
    end
  end

  # The block gets a group, which is waited for in the end, also after `break`, `return` and `throw`; an error in the block and Thread#kill
  # cancel it. returns: what the block gives.
  def self.scope(limit: nil, supervisor: false, token: nil)
    raise error(Core::EINVAL, "a block was expected") unless block_given?
    group = Group.new(limit: limit, supervisor: supervisor, token: token)
    begin
      yield group
    rescue Exception => problem # rubocop:disable Lint/RescueException
      raise
    ensure
      group.finish(problem)
    end
  end
end
