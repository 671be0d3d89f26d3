module Ecru
  # What all channels have. capacity: 0: sender and receiver meet; nil: no end.
  # full: what a full one does with one more: :wait, :drop_newest, :drop_oldest or :fail.
  class AnyChan
    include Enumerable

    POLICIES = {wait: Core::FULL_WAIT, drop_newest: Core::FULL_DROP_NEWEST, drop_oldest: Core::FULL_DROP_OLDEST, fail: Core::FULL_FAIL}.freeze
    ENDED = Object.new.freeze
    private_constant :POLICIES, :ENDED
    # What C has of it.
    def native = @native || raise(Ecru.error(Core::EINVAL, "a channel was expected: does its class's initialize call super?")) # :nodoc:

    # Closes: what is in it can still be received. cause: what receivers get after that, a negative status; nil: ECLOSED.
    def close(cause = nil) = native.close(cause)
    def closed? = native.is_closed
    # How many are in it.
    def length = native.len
    alias size length
    # nil: no end.
    def capacity = native.cap.then { |n| n.negative? ? nil : n }
    # Sends, and gives the channel.
    def <<(value)
      send(value)
      self
    end
    # A case for select: sending this.
    def sending(value) = Sending.new(self, value)

    # Receives until it is closed and empty.
    def each
      return to_enum unless block_given?
      until ENDED.equal?(value = receive(ENDED))
        yield value
      end
      self
    end

    private

    def make(capacity, of_bytes, full, name)
      policy = POLICIES.fetch(full) { raise Ecru.error(Core::EINVAL, "full is one of #{POLICIES.keys}") }
      raise Ecru.error(Core::EINVAL, "a capacity is not negative") if capacity.is_a?(Integer) && capacity.negative?
      @native = Core::NativeChan.new(capacity.nil? ? -1 : capacity, of_bytes, policy, name)
    end
  end

  Sending = Struct.new(:chan, :value)
  private_constant :Sending

  # A channel of any objects, which go through it as they are.
  class Chan < AnyChan
    attr_reader :objects # :nodoc: by ticket: what is in the channel, or about to be

    def initialize(capacity = 0, full: :wait, name: nil)
      @objects = {}
      make(capacity, false, full, name)
    end

    # Waits while there is neither a receiver nor room.
    def send(object)
      Core.send_object(@native, @objects, object)
      nil
    end
    # Whether it was sent.
    def try_send(object) = Core.try_send_object(@native, @objects, object)
    # Waits while there is nothing. Closed: the channel is closed and empty.
    def recv = Core.recv_object(@native, @objects, nil, true)
    # `none`: nothing is there.
    def try_recv(none = nil) = Core.recv_object(@native, @objects, none, false)

    def hold(object) = Core.hold(@objects, object) # :nodoc:
    def release(ticket) = @objects.delete(ticket) # :nodoc:
    def value_of(selection) = release(selection.value) # :nodoc:

    private

    def receive(ended) = Core.recv_object(@native, @objects, ended, true)
  end

  # A channel of 64-bit integers, which goroutines of C can share.
  class IntChan < AnyChan
    def initialize(capacity = 0, full: :wait, name: nil)
      make(capacity, false, full, name)
    end

    # A channel of int64_t whose reference (an address of C's, of an ecru_chan) C code gives away.
    def self.at(address) = allocate.tap { |chan| chan.instance_variable_set(:@native, Core::NativeChan.at(address, false)) }
    # The address of a reference for C code, which releases it.
    def retain = native.retain

    def send(number) = native.send(number)
    def try_send(number) = native.try_send(number)
    def recv = native.recv
    def try_recv(none = nil) = native.try_recv.then { |there, number| there ? number : none }

    def hold(number) = number # :nodoc:
    def release(_) = nil # :nodoc:
    def value_of(selection) = selection.value # :nodoc:

    private

    def receive(ended) = native.next.then { |there, number| there ? number : ended }
  end

  # A channel of Strings of bytes, by copy, which goroutines of C can share.
  class ByteChan < AnyChan
    def initialize(capacity = 0, full: :wait, name: nil)
      make(capacity, true, full, name)
    end

    # As IntChan.at: elements are {char *data; size_t length}, of malloc, freed by who has received them.
    def self.at(address) = allocate.tap { |chan| chan.instance_variable_set(:@native, Core::NativeChan.at(address, true)) }
    # As IntChan#retain.
    def retain = native.retain

    def send(bytes) = native.send_bytes(bytes)
    def try_send(bytes) = native.try_send_bytes(bytes)
    def recv = native.recv_bytes
    def try_recv(none = nil) = native.try_recv_bytes || none
    def value_of(selection) = selection.value_bytes # :nodoc:

    private

    def receive(ended) = native.next_bytes || ended
  end

  class AnyChan
    subclasses.each do |chan|
      chan.class_eval do
        alias_method :push, :send
        alias_method :pop, :recv
      end
    end
  end
end
