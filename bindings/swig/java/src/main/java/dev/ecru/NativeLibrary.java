package dev.ecru;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.ref.Cleaner;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/** The library with the runtime inside: from the jar, or the file that the property {@code dev.ecru.library} names. */
final class NativeLibrary {
  /** Drops what Java has no reference to any more. Its actions never wait. */
  static final Cleaner CLEANER = Cleaner.create();

  private NativeLibrary() {}

  static void load() {
    String given = System.getProperty("dev.ecru.library");
    if (given != null) System.load(Path.of(given).toAbsolutePath().toString());
    else loadFromJar();
  }

  /** Such as {@code native/linux-x86_64/libecrujava.so}, next to this class. */
  private static String resource() {
    String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    if (system.startsWith("mac")) system = "macos";
    if (system.startsWith("windows")) system = "windows";
    String machine = System.getProperty("os.arch").replace("amd64", "x86_64");
    return "native/" + system + "-" + machine + "/" + System.mapLibraryName("ecrujava");
  }

  private static void loadFromJar() {
    String resource = resource();
    try (InputStream library = NativeLibrary.class.getResourceAsStream(resource)) {
      if (library == null) throw new UnsatisfiedLinkError("ecru's jar has no library for this machine: " + resource);
      Path copy = Files.createTempFile("ecru", resource.substring(resource.lastIndexOf('.')));
      try {
        Files.copy(library, copy, StandardCopyOption.REPLACE_EXISTING);
        System.load(copy.toString());
      } finally {
        if (!copy.toFile().delete()) copy.toFile().deleteOnExit(); // Windows keeps a loaded library's file
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
