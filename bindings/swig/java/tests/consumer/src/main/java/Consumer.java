import dev.ecru.Chan;
import dev.ecru.Group;

public final class Consumer {
  public static void main(String[] arguments) {
    Chan<String> words = new Chan<>();
    try (Group group = new Group()) {
      group.go(
          () -> {
            for (String word : new String[] {"from", "the", "jar"}) words.send(word);
            words.close();
          });
      System.out.println(String.join(" ", words.stream().toList()));
    }
  }
}
