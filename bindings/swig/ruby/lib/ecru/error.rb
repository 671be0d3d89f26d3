module Ecru
  # What ecru says no with: code is a negative status, name such as "ECRU_ECLOSED".
  class Error < StandardError
    attr_reader :code

    def initialize(code = Core::EUNKNOWN, message = nil)
      @code = code
      super(message || Core.status_text(code))
    end

    def name = Core.status_name(code)
  end

  class Cancelled < Error; end # the caller's token was cancelled
  class DeadlineExceeded < Error; end # or its deadline has passed
  class Closed < Error; end # a closed channel that is empty, a closed object
  class InvalidArgument < Error; end

  @classes = {Core::ECANCELED => Cancelled, Core::ETIMEDOUT => DeadlineExceeded, Core::ECLOSED => Closed, Core::EINVAL => InvalidArgument}

  # The exception of a status.
  def self.error(code, message = nil) = @classes.fetch(code, Error).new(code, message)
end
