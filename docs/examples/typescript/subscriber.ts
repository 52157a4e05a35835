// A subscriber to copy: it ships or waits as credit control decides, and knows who is blocked.
//
//   node dist/subscriber.js localhost:9092 GROUP SCHEMAS STATE      until Ctrl-C
//   node dist/subscriber.js golden SCHEMAS                          tests the decoder on the golden bytes
//
// GROUP is your consumer group: it stays the same, for the brokers keep by it how far you are.
// SCHEMAS is Headroom's directory schemas/ (ids.lock.json and released/); STATE is a directory of
// your own, which has to outlive the process. docs/subscribe.md says why things are as they are.

import { randomUUID } from "node:crypto";
import {
  closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync,
} from "node:fs";
import { isDeepStrictEqual } from "node:util";
import avro from "avsc";
import { type Consumer, Kafka, logLevel } from "kafkajs";

const DECISIONS = "credit.order-decisions.v1";
const ALERTS = "credit.limit-alerts.v1";
const EXPOSURES = "credit.exposures.v1";

// Amounts are minor units, times microseconds: both fit a number of JavaScript exactly up to 2^53,
// and avsc throws beyond that.
type Decision = { event_id: string; order_id: string; decision: string; reasons: string[] };
type Alert = { event_id: string; customer_id: string; threshold: string; direction: string };
type Figures = { customer_id: string; headroom: number | null; held_orders: number };

/**
 * Bytes into records: Avro behind 0x00 and four bytes of schema id. Read with the schema that they
 * were written with (the id says which) and with the newest that this program knows: fields that
 * are newer are skipped, fields that were not there yet get their defaults.
 */
class Events {
  private readonly readers = new Map<number, { name: string; read: (body: Buffer) => unknown }>();

  constructor(schemas: string) {
    type Row = { id: number; record: string; version: number };
    const rows: Row[] = JSON.parse(readFileSync(`${schemas}/ids.lock.json`, "utf8")).schemas;
    const newest = new Map<string, avro.Type>();
    // The newest version first, so that it is there when the older ones ask for it.
    for (const { id, record, version } of rows.sort((a, b) => b.version - a.version)) {
      const file = `${schemas}/released/${record}-${version}.avsc`;
      const writer = avro.Type.forSchema(JSON.parse(readFileSync(file, "utf8")));
      const reader = newest.get(record) ?? writer;
      newest.set(record, reader);
      const resolver = reader.createResolver(writer);
      this.readers.set(id, { name: record, read: (body) => reader.fromBuffer(body, resolver) });
    }
  }

  /** The type of the event in a message's value, and its fields. */
  read(value: Buffer): { name: string; event: unknown } {
    const id = value.readUInt32BE(1);
    const reader = this.readers.get(id);
    if (value[0] !== 0 || reader === undefined) {
      // A newer release writes. Passing it over would lose a decision: stop, bring the newer
      // schemas, start again. With a schema registry, ask it for the id here.
      throw new Error(`schema id ${id} is unknown: bring SCHEMAS up to date`);
    }
    return { name: reader.name, event: reader.read(value.subarray(5)) };
  }
}

/**
 * What this program has done, by event id: a file with a line for each deed. Id and deed are one
 * line, so an event that comes again, after whichever crash, finds that it was done. With a
 * database, put both into one transaction instead.
 */
class Book {
  private readonly file: number;
  private readonly done = new Set<string>();

  constructor(state: string) {
    mkdirSync(state, { recursive: true });
    const path = `${state}/book.tsv`;
    this.file = openSync(path, "a+");
    const there = readFileSync(path);
    const end = there.lastIndexOf("\n") + 1;
    ftruncateSync(this.file, end); // a line that a crash cut off was not done
    for (const line of there.subarray(0, end).toString().split("\n")) {
      this.done.add(line.slice(0, line.indexOf("\t")));
    }
  }

  /** Do it, unless it is done. */
  record(eventId: string, deed: string): void {
    if (this.done.has(eventId)) return;
    writeSync(this.file, `${eventId}\t${deed}\n`);
    this.done.add(eventId);
    console.log(deed);
  }

  /** On the disk, before the brokers are told that it was read. */
  flush(): void {
    fsyncSync(this.file);
  }

  close(): void {
    closeSync(this.file);
  }
}

/**
 * Who has no headroom left or an order on hold: the newest figures of every customer, from the
 * compacted topic, read from its start each time that the program starts.
 */
class BlockList {
  private readonly blocked = new Set<string>();
  private isComplete = false;

  constructor(
    private readonly kafka: Kafka,
    private readonly group: string,
    private readonly events: Events,
    private readonly stop: (error: Error) => void,
  ) {}

  /** Returns when it is complete; goes on following what changes. */
  async open(): Promise<() => Promise<void>> {
    const admin = this.kafka.admin();
    await admin.connect();
    const behind = new Map<number, bigint>();
    for (const { partition, low, high } of await admin.fetchTopicOffsets(EXPOSURES)) {
      if (low !== high) behind.set(partition, BigInt(high));
    }
    await admin.disconnect();

    // KafkaJS reads in groups only: one of its own for each run reads all partitions, and keeps no
    // place in them.
    const groupId = `${this.group}-block-list-${randomUUID()}`;
    // readUncommitted: false is its default, said here because everything rests on it.
    const consumer = this.kafka.consumer({ groupId, readUncommitted: false });
    endWith(consumer, this.stop);
    await consumer.connect();
    await consumer.subscribe({ topic: EXPOSURES, fromBeginning: true });
    const complete = new Promise<void>((resolve) => {
      if (behind.size === 0) resolve();
      // Told of batches that hold nothing but the marks of transactions, too.
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
        const end = behind.get(partition);
        if (end !== undefined && BigInt(lastOffset) + 1n >= end) behind.delete(partition);
        if (behind.size === 0) resolve();
      });
    });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ message: { key, value } }) => orStop(this.stop, () =>
        this.apply((key ?? "").toString(), value)),
    });
    await complete;
    this.isComplete = true;
    console.log(`block list: ${[...this.blocked].sort().join(" ") || "nobody"}`);
    return () => consumer.disconnect();
  }

  private apply(customer: string, value: Buffer | null): void {
    const wasBlocked = this.blocked.has(customer);
    let isBlocked = false;
    if (value !== null) { // null would say that the key is gone
      const { headroom, held_orders } = this.events.read(value).event as Figures;
      isBlocked = (headroom !== null && headroom <= 0) || held_orders > 0;
    }
    if (isBlocked) this.blocked.add(customer);
    else this.blocked.delete(customer);
    if (this.isComplete && isBlocked !== wasBlocked) {
      console.log(`${isBlocked ? "blocked" : "unblocked"} ${customer}`);
    }
  }
}

/** What an event makes this program do; null: nothing. Yours will ship, print, write mails. */
function deedOf(name: string, event: Decision | Alert): string | null {
  if (name === "CreditLimitAlert") {
    const { customer_id, threshold, direction } = event as Alert;
    return `alert ${customer_id}: ${threshold} ${direction}`;
  }
  if (name !== "OrderDecision") return null; // a type of a newer release
  const { order_id, decision, reasons } = event as Decision;
  switch (decision) {
    case "approved":
    case "released":
      return `ship ${order_id}`;
    case "held":
      return `wait ${order_id}: ${reasons.join(", ")}`;
    case "cancelled":
      return `forget ${order_id}`;
    default: // a word of a newer release
      return `wait ${order_id}: ${decision}`;
  }
}

/** A consumer that gives up ends the program: KafkaJS by itself would go on without it, in silence. */
function endWith(consumer: Consumer, stop: (error: Error) => void): void {
  consumer.on(consumer.events.CRASH, ({ payload: { error, restart } }) => {
    if (!restart) stop(error);
  });
}

/** KafkaJS tries again what threw; what cannot be read had better end the program at once. */
function orStop(stop: (error: Error) => void, work: () => void): void {
  try {
    work();
  } catch (error) {
    stop(error as Error);
    throw error;
  }
}

async function run(
  brokers: string, group: string, schemas: string, state: string,
): Promise<void> {
  const kafka = new Kafka({
    clientId: group,
    brokers: brokers.split(","), // with ssl and sasl as your cluster wants them
    logLevel: logLevel.ERROR,
  });
  const stop = (error: Error): void => {
    console.error(error.message);
    process.exit(1);
  };
  const events = new Events(schemas);
  const book = new Book(state);
  const closeBlockList = await new BlockList(kafka, group, events, stop).open();
  const consumer = kafka.consumer({ groupId: group, readUncommitted: false });
  endWith(consumer, stop);
  await consumer.connect();
  await consumer.subscribe({ topics: [DECISIONS, ALERTS], fromBeginning: true });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, async () => {
      await Promise.all([consumer.disconnect(), closeBlockList()]);
      book.close();
      process.exit(0);
    });
  }
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: true,
    eachBatch: async ({ batch: { topic, partition, messages } }) => {
      orStop(stop, () => {
        for (const { value } of messages) {
          const { name, event } = events.read(value as Buffer); // these topics have no empty ones
          const deed = deedOf(name, event as Decision | Alert);
          // The same id is in the header ce_id, for those who would not decode.
          if (deed !== null) book.record((event as Decision | Alert).event_id, deed);
        }
        book.flush();
      });
      // Behind the deeds. Who dies in between hears of them again, and drops them.
      const offset = (BigInt(messages.at(-1)!.offset) + 1n).toString();
      await consumer.commitOffsets([{ topic, partition, offset }]);
    },
  });
}

/** A test for your decoder: every golden value gives the record that stands beside it. */
function golden(schemas: string): void {
  const events = new Events(schemas);
  type Example = { version: number; value_hex: string; record: unknown };
  let count = 0;
  for (const name of readdirSync(`${schemas}/golden`).filter((each) => each.endsWith(".json"))) {
    const file = JSON.parse(readFileSync(`${schemas}/golden/${name}`, "utf8"));
    for (const { version, value_hex, record } of file.examples as Example[]) {
      // What avsc gives are objects of classes of its own, so both are compared as plain ones.
      const found = JSON.parse(JSON.stringify(events.read(Buffer.from(value_hex, "hex")).event));
      if (!isDeepStrictEqual(found, record)) {
        throw new Error(`${name}, version ${version}: found ${JSON.stringify(found)}`);
      }
      count += 1;
    }
  }
  console.log(`${count} golden values are read as they should be`);
}

const [first, second, third, fourth] = process.argv.slice(2);
if (first === "golden" && second !== undefined) {
  golden(second);
} else if (first && second && third && fourth) {
  await run(first, second, third, fourth);
} else {
  console.error("usage: node dist/subscriber.js BROKERS GROUP SCHEMAS STATE, or: golden SCHEMAS");
  process.exit(2);
}
