import dev.ecru.Ecru;
import dev.ecru.EcruException;
import dev.ecru.Task;
import dev.ecru.TaskException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Waiting for all: five services are asked at once, and all outcomes come back in order, not only the first failure. */
public final class WhenAll {
  private record Service(String name, int delay, int status, String answer) {
    String ask() {
      Ecru.sleep(Duration.ofMillis(delay));
      if (status != 0) throw new EcruException(status);
      return answer;
    }
  }

  private static String outcome(Task<String> task) {
    try {
      return task.join();
    } catch (TaskException e) {
      return Ecru.statusText(e.code());
    }
  }

  public static void main(String[] arguments) {
    List<Service> services =
        List.of(
            new Service("users", 30, 0, "17 users"),
            new Service("orders", 20, Ecru.EIO, null),
            new Service("prices", 10, 0, "3 prices"),
            new Service("stock", 5, Ecru.ENOENT, null),
            new Service("mail", 1, 0, "no mail"));
    List<Task<String>> tasks = new ArrayList<>();
    for (Service service : services) tasks.add(Ecru.spawn(service::ask));
    for (int i = 0; i < tasks.size(); i++) System.out.printf("%-7s %s%n", services.get(i).name(), outcome(tasks.get(i)));
    try {
      Ecru.joinAll(tasks);
    } catch (TaskException e) {
      System.out.println("in all: " + Ecru.statusText(e.code()));
    }
  }
}
