// Runs every journey, one after the other, and prints one line of JSON for each.

import './project_journeys.mjs';
import './session_journeys.mjs';
import './sign_in_journeys.mjs';
import { journeys } from './support.mjs';

for (const [name, run] of journeys) {
  let failure = '';
  try {
    await run();
  } catch (error) {
    failure = error.stack || String(error);
  }
  console.log(JSON.stringify({ name, failure }));
}
process.exit(); // the SDK may have left a timer behind
