// Checks an AsyncAPI document with the official parser: node check.mjs FILE
// Prints each thing that it has to say; exit status 1 where one is an error.
import { readFileSync } from "node:fs";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
import { Parser } from "@asyncapi/parser";

const ERROR = 0; // the parser's severities: 0 error, 1 warning, 2 information, 3 hint

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, code, message, path } of diagnostics) {
  console.error(`${severity === ERROR ? "error" : "note"}: ${path.join(".")}: ${message} (${code})`);
}
if (document === undefined || diagnostics.some(({ severity }) => severity === ERROR)) process.exit(1);
console.log(
  `${document.allChannels().length} channels, ${document.allMessages().length} messages,` +
    ` ${document.allOperations().length} operations`,
);
