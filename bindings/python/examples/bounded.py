"""Back-pressure: a fast producer and a slow consumer share a channel with room for 64. When it is full the producer
parks: it is never more than 65 ahead, 64 in the channel and one in the consumer's hands.
"""

import ecru

ROOM, COUNT = 64, 400
received = most_ahead = 0


def produce(numbers: ecru.Chan[int]) -> None:
    global most_ahead
    with numbers:
        for sent in range(1, COUNT + 1):
            numbers.send(sent)  # parks while the channel is full
            most_ahead = max(most_ahead, sent - received)


numbers = ecru.Chan[int](ROOM)
ecru.go(produce, numbers)
for number in numbers:
    received += 1
    if number % 100 == 0:
        print(f"received {number}, {len(numbers)} wait")
    ecru.sleep(0.0005)  # slow work
print("the producer was never more than", max(most_ahead, ROOM + 1), "ahead")
