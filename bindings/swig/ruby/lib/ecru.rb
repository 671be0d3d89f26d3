# Goroutines' channels, select, tokens, groups and timers: ecru's, for Ruby's threads.
#
# A goroutine here is a Ruby thread. Whatever waits gives Ruby's lock away and ends with Thread#raise, Thread#kill, Timeout and signals.
require "ecru/core"
require "ecru/error"
require "ecru/chan"
require "ecru/task"
require "ecru/group"
require "ecru/select"

module Ecru
  Token, Timer, Io = Core::Token, Core::Timer, Core::Io
  Mutex, RWMutex, Cond, WaitGroup = Core::Mutex, Core::RWMutex, Core::Cond, Core::WaitGroup
  Semaphore, Barrier, Limiter = Core::Semaphore, Core::Barrier, Core::Limiter
  VERSION = Core.version
  Core.constants.grep(/\A(E[A-Z0-9]+|IO_[A-Z]+|TASK_[A-Z]+)\z/) { |name| const_set(name, Core.const_get(name)) }

  module Forks # :nodoc:
    def _fork = super.tap { |pid| Core.keep_scopes if pid.zero? }
    def daemon(*) = super.tap { Core.keep_scopes } # which is no _fork to Ruby
  end
  private_constant :Forks
  Process.singleton_class.prepend(Forks)

  class << self
    # Seconds on a clock that never goes back.
    def now = Core.now_ns / 1e9

    # Sleeps at least so many seconds; nil: until it is ended.
    def sleep(seconds = nil) = Core.sleep(seconds)

    # A point of cancellation without waiting: fails if the caller's token has fired.
    def check = Core.check

    # Lets the others go first.
    def pass
      Core.yield_
      Thread.pass
    end

    # What the block does ends after so many seconds, with DeadlineExceeded.
    def timeout(seconds, &block)
      Core.between(:timeout, nil, seconds, &block)
    end

    # What the block does is not cancelled from outside; with seconds: for so long.
    def shield(seconds = nil, &block)
      Core.between(:shield, nil, seconds, &block)
    end

    # A timer that is due every so many seconds.
    def ticker(seconds) = Timer.ticker(seconds)

    def dial(network, address) = Io.dial(network, address)
    def listen(network, address) = Io.listen(network, address)
  end

  class Core::Token
    # The block runs under it: what waits there ends once it fires.
    def under(&block) = Core.between(:under, self, nil, &block)
    def fired? = error != 0
  end

  class Core::Mutex
    def synchronize(&block) = Core.between(:synchronize, self, nil, &block)
  end

  class Core::RWMutex
    def write(&block) = Core.between(:write, self, nil, &block)
    def read(&block) = Core.between(:read, self, nil, &block)
  end

  class Core::Semaphore
    # The block runs with n permits.
    def hold(n = 1, &block) = Core.between(:hold, self, n, &block)
  end

  class Core::Timer
    include Enumerable
    # The block runs each time it is due.
    def each
      return to_enum unless block_given?
      loop { yield wait }
    end
  end

  class Core::Io
    include Enumerable
    # Writes, and gives the connection.
    def <<(data)
      write(data)
      self
    end
    # The block gets each line, without its end.
    def each
      return to_enum unless block_given?
      while (line = read_line)
        yield line
      end
      self
    end
    # So many bytes, or EEOF. One reader at a time.
    def read_exactly(length)
      raise Ecru.error(EINVAL, "a length was expected") unless length.is_a?(Integer) && length >= 0
      data = String.new
      while data.bytesize < length
        part = read([length - data.bytesize, 1 << 20].min)
        raise Ecru.error(EEOF) if part.empty?
        data << part
      end
      data
    end
  end
end
