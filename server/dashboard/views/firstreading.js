import { command } from "../tree.js";

/** A command for a shell, which makes a key of `key`, such as "$KEY". */
export function firstReading(device, key) {
	const name = JSON.stringify(device).replaceAll("'", "'\\''");
	return command(`curl ${location.origin}/v1/readings \\
	-H "Authorization: Bearer ${key}" \\
	-H "Content-Type: application/json" \\
	-d '{"device": ${name}, "readings": [
		{"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}'`);
}
