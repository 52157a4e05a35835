import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A subscriber to copy: it ships or waits as credit control decides, and knows who is blocked.
 *
 * <pre>
 *   java Subscriber localhost:9092 GROUP SCHEMAS STATE      until Ctrl-C
 *   java Subscriber golden SCHEMAS                          tests the decoder on the golden bytes
 * </pre>
 *
 * GROUP is your consumer group: it stays the same, for the brokers keep by it how far you are.
 * SCHEMAS is Headroom's directory schemas/ (ids.lock.json and released/); STATE is a directory of
 * your own, which has to outlive the process. docs/subscribe.md says why things are as they are.
 */
public final class Subscriber {
  private static final String DECISIONS = "credit.order-decisions.v1";
  private static final String ALERTS = "credit.limit-alerts.v1";
  private static final String EXPOSURES = "credit.exposures.v1";

  /**
   * Bytes into records: Avro behind 0x00 and four bytes of schema id. Read with the schema that
   * they were written with (the id says which) and with the newest that this program knows: fields
   * that are newer are skipped, fields that were not there yet get their defaults.
   */
  static final class Events {
    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();

    Events(Path schemas) throws IOException {
      JsonNode rows = new ObjectMapper().readTree(schemas.resolve("ids.lock.json").toFile());
      Map<Integer, Schema> writers = new HashMap<>();
      Map<String, Schema> newest = new HashMap<>();
      Map<String, Integer> versions = new HashMap<>();
      for (JsonNode row : rows.get("schemas")) {
        String record = row.get("record").asText();
        int version = row.get("version").asInt();
        Path file = schemas.resolve("released").resolve(record + "-" + version + ".avsc");
        Schema schema = new Schema.Parser().parse(Files.readString(file));
        writers.put(row.get("id").asInt(), schema);
        if (version > versions.getOrDefault(record, 0)) {
          versions.put(record, version);
          newest.put(schema.getFullName(), schema);
        }
      }
      writers.forEach(
          (id, writer) ->
              readers.put(id, new GenericDatumReader<>(writer, newest.get(writer.getFullName()))));
    }

    /** The record in a message's value. */
    GenericRecord read(byte[] value) throws IOException {
      ByteBuffer header = ByteBuffer.wrap(value);
      byte magic = header.get();
      int id = header.getInt();
      GenericDatumReader<GenericRecord> reader = readers.get(id);
      if (magic != 0 || reader == null) {
        // A newer release writes. Passing it over would lose a decision: stop, bring the newer
        // schemas, start again. With a schema registry, ask it for the id here.
        throw new IOException("schema id " + id + " is unknown: bring SCHEMAS up to date");
      }
      return reader.read(
          null, DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null));
    }
  }

  /**
   * What this program has done, by event id: a file with a line for each deed. Id and deed are one
   * line, so an event that comes again, after whichever crash, finds that it was done. With a
   * database, put both into one transaction instead.
   */
  static final class Book implements AutoCloseable {
    private final RandomAccessFile file;
    private final Set<String> done = new HashSet<>();

    Book(Path state) throws IOException {
      Files.createDirectories(state);
      file = new RandomAccessFile(state.resolve("book.tsv").toFile(), "rw");
      byte[] there = new byte[(int) file.length()];
      file.readFully(there);
      int end = 0;
      for (int i = 0; i < there.length; i++) {
        if (there[i] == '\n') {
          String line = new String(there, end, i - end, StandardCharsets.UTF_8);
          done.add(line.substring(0, line.indexOf('\t')));
          end = i + 1;
        }
      }
      file.setLength(end); // a line that a crash cut off was not done
      file.seek(end);
    }

    /** Do it, unless it is done. */
    void record(String eventId, String deed) throws IOException {
      if (done.contains(eventId)) return;
      file.write((eventId + "\t" + deed + "\n").getBytes(StandardCharsets.UTF_8));
      done.add(eventId);
      System.out.println(deed);
    }

    /** On the disk, before the brokers are told that it was read. */
    void flush() throws IOException {
      file.getFD().sync();
    }

    @Override
    public void close() throws IOException {
      file.close();
    }
  }

  /**
   * Who has no headroom left or an order on hold: the newest figures of every customer, from the
   * compacted topic, read from its start each time that the program starts.
   */
  static final class BlockList implements AutoCloseable {
    private final Events events;
    private final KafkaConsumer<String, byte[]> consumer;
    private final Set<String> blocked = new TreeSet<>();

    BlockList(String brokers, Events events) throws IOException {
      this.events = events;
      // No group: every instance reads all partitions, and keeps no place in them.
      consumer = new KafkaConsumer<>(settings(brokers, null));
      List<TopicPartition> places =
          consumer.partitionsFor(EXPOSURES).stream()
              .map(each -> new TopicPartition(EXPOSURES, each.partition()))
              .toList();
      consumer.assign(places);
      consumer.seekToBeginning(places);
      Map<TopicPartition, Long> ends = consumer.endOffsets(places);
      while (places.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        for (var record : consumer.poll(Duration.ofSeconds(1))) apply(record);
      }
      System.out.println(
          "block list: " + (blocked.isEmpty() ? "nobody" : String.join(" ", blocked)));
    }

    /** What has changed since. */
    void follow() throws IOException {
      for (var record : consumer.poll(Duration.ZERO)) {
        boolean wasBlocked = blocked.contains(record.key());
        boolean isBlocked = apply(record);
        if (isBlocked != wasBlocked) {
          System.out.println((isBlocked ? "blocked " : "unblocked ") + record.key());
        }
      }
    }

    private boolean apply(ConsumerRecord<String, byte[]> record) throws IOException {
      boolean isBlocked = false;
      if (record.value() != null) { // null would say that the key is gone
        GenericRecord figures = events.read(record.value());
        Long headroom = (Long) figures.get("headroom"); // minor units; null: no limit
        isBlocked = (headroom != null && headroom <= 0) || (Integer) figures.get("held_orders") > 0;
      }
      if (isBlocked) blocked.add(record.key());
      else blocked.remove(record.key());
      return isBlocked;
    }

    @Override
    public void close() {
      consumer.close();
    }
  }

  /** What an event makes this program do; null: nothing. Yours will ship, print, write mails. */
  static String deedOf(GenericRecord event) {
    switch (event.getSchema().getName()) {
      case "CreditLimitAlert":
        return "alert " + event.get("customer_id") + ": " + event.get("threshold") + " "
            + event.get("direction");
      case "OrderDecision":
        String order = event.get("order_id").toString();
        String decision = event.get("decision").toString();
        return switch (decision) {
          case "approved", "released" -> "ship " + order;
          case "held" -> "wait " + order + ": " + joined((List<?>) event.get("reasons"));
          case "cancelled" -> "forget " + order;
          default -> "wait " + order + ": " + decision; // a word of a newer release
        };
      default: // a type of a newer release
        return null;
    }
  }

  private static String joined(List<?> reasons) {
    return String.join(", ", reasons.stream().map(Object::toString).toList());
  }

  static Properties settings(String brokers, String group) {
    Properties settings = new Properties();
    // With security.protocol, sasl.* as your cluster wants them.
    settings.put("bootstrap.servers", brokers);
    settings.put("isolation.level", "read_committed"); // Java's default is read_uncommitted
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "earliest");
    settings.put("key.deserializer", StringDeserializer.class.getName());
    settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
    if (group != null) settings.put("group.id", group);
    return settings;
  }

  static void run(String brokers, String group, Path schemas, Path state) throws Exception {
    Events events = new Events(schemas);
    try (Book book = new Book(state);
        BlockList blockList = new BlockList(brokers, events);
        var consumer = new KafkaConsumer<String, byte[]>(settings(brokers, group))) {
      consumer.subscribe(List.of(DECISIONS, ALERTS));
      Thread main = Thread.currentThread();
      Runtime.getRuntime().addShutdownHook(new Thread(() -> {
        consumer.wakeup();
        try {
          main.join();
        } catch (InterruptedException ended) {
          Thread.currentThread().interrupt();
        }
      }));
      while (true) {
        blockList.follow();
        var records = consumer.poll(Duration.ofMillis(200));
        for (var record : records) {
          GenericRecord event = events.read(record.value());
          String deed = deedOf(event);
          // The same id is in the header ce_id, for those who would not decode.
          if (deed != null) book.record(event.get("event_id").toString(), deed);
        }
        if (!records.isEmpty()) {
          book.flush();
          // Behind the deeds. Who dies in between hears of them again, and drops them.
          consumer.commitSync();
        }
      }
    } catch (WakeupException ended) {
      // Ctrl-C
    }
  }

  /** A test for your decoder: every golden value gives the record that stands beside it. */
  static void golden(Path schemas) throws IOException {
    ObjectMapper json = new ObjectMapper();
    Events events = new Events(schemas);
    int count = 0;
    try (var files = Files.newDirectoryStream(schemas.resolve("golden"), "*.json")) {
      for (Path file : files) {
        for (JsonNode example : json.readTree(file.toFile()).get("examples")) {
          GenericRecord found =
              events.read(HexFormat.of().parseHex(example.get("value_hex").asText()));
          if (!json.readTree(found.toString()).equals(example.get("record"))) {
            throw new IOException(
                file.getFileName() + ", version " + example.get("version") + ": found " + found);
          }
          count++;
        }
      }
    }
    System.out.println(count + " golden values are read as they should be");
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length == 2 && arguments[0].equals("golden")) {
      golden(Path.of(arguments[1]));
    } else if (arguments.length == 4) {
      run(arguments[0], arguments[1], Path.of(arguments[2]), Path.of(arguments[3]));
    } else {
      System.err.println("usage: Subscriber BROKERS GROUP SCHEMAS STATE, or: golden SCHEMAS");
      System.exit(2);
    }
  }
}
