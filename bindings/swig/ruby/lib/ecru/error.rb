module Ecru
  # What ecru says no with: code is a negative status, name such as "ECRU_ECLOSED".
  class Error < StandardError
    CODE = Core::EUNKNOWN # of one that is raised without a code
    attr_reader :code

    # Also with a message alone, as `raise Ecru::Closed, "over"` does.
    def initialize(code = nil, message = nil)
      code, message = nil, code if code.is_a?(String)
      @code = code || self.class::CODE
      super(message || Core.status_text(@code))
    end

    def name = Core.status_name(code)
  end

  # The caller's token was cancelled ...
  class Cancelled < Error
    CODE = Core::ECANCELED
  end

  # ... or its deadline has passed.
  class DeadlineExceeded < Error
    CODE = Core::ETIMEDOUT
  end

  # A closed channel that is empty, a closed object.
  class Closed < Error
    CODE = Core::ECLOSED
  end

  class InvalidArgument < Error
    CODE = Core::EINVAL
  end

  @classes = [Cancelled, DeadlineExceeded, Closed, InvalidArgument].to_h { |type| [type::CODE, type] }

  # The exception of a status.
  def self.error(code, message = nil) = @classes.fetch(code, Error).new(code, message)
end
