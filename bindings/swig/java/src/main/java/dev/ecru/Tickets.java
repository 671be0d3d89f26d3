package dev.ecru;

import java.util.Arrays;

/**
 * What is in a channel of objects: C has the tickets, this the objects. It belongs to the channel, so that the collector finds them through it alone: a
 * channel that nobody knows goes with what is in it, though it be itself. Places that are free are a list through {@code next}.
 */
final class Tickets<T> {
  private static final int NONE = -1;
  private Object[] objects = new Object[4];
  private int[] next = new int[4];
  private int free = NONE;
  private int used; // places below were given out
  private int count;

  /** A ticket, which is not 0. */
  synchronized long put(T object) {
    int place = free;
    if (place != NONE) free = next[place];
    else place = newPlace();
    objects[place] = object;
    count++;
    return place + 1L;
  }

  private int newPlace() {
    if (used == objects.length) {
      objects = Arrays.copyOf(objects, used * 2);
      next = Arrays.copyOf(next, used * 2);
    }
    return used++;
  }

  /** The object of a ticket, which is void from then on. */
  @SuppressWarnings("unchecked")
  synchronized T take(long ticket) {
    int place = (int) (ticket - 1);
    Object object = objects[place];
    if (object == null) throw new IllegalStateException("ticket " + ticket + " is not known");
    objects[place] = null;
    count--;
    if (count == 0) reset();
    else {
      next[place] = free;
      free = place;
    }
    return (T) object;
  }

  /** After a crowd: its room is not kept. */
  private void reset() {
    free = NONE;
    used = 0;
    if (objects.length <= 1024) return;
    objects = new Object[4];
    next = new int[4];
  }

  synchronized int count() {
    return count;
  }
}
