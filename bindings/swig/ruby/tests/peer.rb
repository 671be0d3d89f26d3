# Goroutines of C and Ruby's threads share channels: peer.rb <directory of the module that has swig/tests/peer.c in it> <how often>
$LOAD_PATH.unshift(ARGV[0])
require "ecru"
require "fiddle"

module Peer
  MODULE = Fiddle.dlopen($LOADED_FEATURES.grep(%r{ecru/core\.so\z}).first)
  private_constant :MODULE

  # Starts one: :ecru_peer_double, :ecru_peer_reverse.
  def self.start(name, there, back)
    function = Fiddle::Function.new(MODULE[name.to_s], [Fiddle::TYPE_LONG_LONG, Fiddle::TYPE_LONG_LONG], Fiddle::TYPE_INT)
    status = function.call(there.retain, back.retain)
    raise Ecru.error(status) if status.negative?
  end

  # Sends what there is, also by select, and gives what comes back.
  def self.through(name, there, back, values)
    start(name, there, back)
    sender = Ecru.go do
      values.each_with_index { |value, i| i.even? ? there.send(value) : Ecru.select(there.sending(value), nil) }
      there.close
    end
    got = back.to_a
    sender.join
    got
  end
end

count = Integer(ARGV[1])
numbers = (0...count).to_a
doubled = Peer.through(:ecru_peer_double, Ecru::IntChan.new, back = Ecru::IntChan.new(2), numbers)
doubled == numbers.map { |n| 2 * n } or abort "other numbers came back: #{doubled.first(5)} ..."
texts = numbers.first(count / 4).map { |n| "#{n}\0" * (n % 7) }
reversed = Peer.through(:ecru_peer_reverse, Ecru::ByteChan.new, Ecru::ByteChan.new(2), texts)
reversed == texts.map(&:reverse) or abort "other texts came back: #{reversed.first(5)} ..."

Ecru::IntChan.at(back.retain).closed? or abort "another channel"
bytes = Ecru::ByteChan.new(1)
other = Ecru::ByteChan.at(bytes.retain)
bytes << "text"
bytes = nil
GC.start
other.recv == "text" or abort "another channel of bytes"
