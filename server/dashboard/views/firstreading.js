/** What to do where nothing has been sent yet: a command for a shell. */

import { command } from "../tree.js";

/** `key` is what the shell makes a key of, such as "$KEY". */
export function firstReading(device, key) {
	const name = JSON.stringify(device).replaceAll("'", "'\\''");
	return command(`curl ${location.origin}/v1/readings \\
	-H "Authorization: Bearer ${key}" \\
	-H "Content-Type: application/json" \\
	-d '{"device": ${name}, "readings": [
		{"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}'`);
}
