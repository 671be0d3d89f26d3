module Ecru
  # What select gives: the case's index, what was received, and the exception that its channel's end is (it is not raised).
  Selected = Struct.new(:index, :value, :error) do
    def to_ary = to_a
  end

  # Makes the first case happen that can: a channel (receive), chan.sending(value), a Task, a Token, a Timer, an Io (a read would not wait), or
  # nil (never). timeout: seconds; poll: without waiting; priority: of several that can the first, not a random one.
  # returns: Selected; nil: none within the timeout.
  def self.select(*cases, timeout: nil, poll: false, priority: false)
    raise error(Core::EINVAL, "a real number was expected") unless timeout.nil? || (timeout.is_a?(Numeric) && timeout.real?)
    ends = timeout && Core.now_ns / 1e9 + timeout
    Thread.handle_interrupt(Object => :on_blocking) do
      loop do
        return Selection.new(cases).wait(timeout, poll, priority)
      rescue Error => problem
        raise unless problem.code == Core::EINTR
        Core.interrupts
        timeout = [ends - Core.now_ns / 1e9, 0].max if ends
      end
    end
  end

  class Selection # :nodoc:
    def initialize(cases)
      @cases = cases
      @tickets = []
      @native = Core::NativeSelect.new
    end

    def wait(timeout, poll, priority)
      picked = nil
      @cases.each_with_index { |one, index| add(one, index) }
      index = @native.wait(timeout, poll, priority)
      return if index.negative?
      picked = index if @native.error.zero?
      outcome(index)
    ensure
      @tickets.each_with_index { |ticket, i| @cases[i].chan.release(ticket) if ticket && i != picked }
      victim = Core::NativeChan.pushed_out
      @cases[picked].chan.release(victim) if picked && victim != 0 && @tickets[picked]
      @native.close
    end

    private

    def outcome(index)
      error = @native.error
      return Selected.new(index, nil, Ecru.error(error)) if error.negative?
      one = @cases[index]
      one.observe if one.is_a?(Task)
      Selected.new(index, one.is_a?(AnyChan) ? one.value_of(@native) : nil, nil)
    end

    def add(one, index)
      case one
      when AnyChan then @native.add_recv(one.native)
      when Sending then add_sending(one, index)
      when Task then @native.add_task(one.awaited)
      when Token then @native.add_token(one)
      when Timer then @native.add_timer(one)
      when Io then @native.add_read(one)
      when nil then @native.add_never
      else raise Ecru.error(Core::EINVAL, "no case of a select: #{one.inspect}")
      end
    end

    def add_sending(one, index)
      return @native.add_send_bytes(one.chan.native, one.value) if one.chan.is_a?(ByteChan)
      value = one.chan.hold(one.value)
      @tickets[index] = value if one.chan.is_a?(Chan)
      @native.add_send(one.chan.native, value)
    end
  end
  private_constant :Selection
end
