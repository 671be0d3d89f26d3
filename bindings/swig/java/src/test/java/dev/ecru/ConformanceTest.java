package dev.ecru;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class ConformanceTest {
  @Test
  void every_case_of_the_table_passes() throws Exception {
    Path table = Path.of(ConformanceTest.class.getResource("/conformance.txt").toURI());
    assertTrue(Conformance.runAll(table) >= 60);
  }
}
