// Walks every journey, one after the other, and says of each in one line of JSON how it went.

import './project_journeys.mjs';
import './session_journeys.mjs';
import './sign_in_journeys.mjs';
import { journeys } from './stage.mjs';

for (const [name, walk] of journeys) {
  let failure = '';
  try {
    await walk();
  } catch (error) {
    failure = error.stack || String(error);
  }
  console.log(JSON.stringify({ name, failure }));
}
process.exit(); // the SDK may have left a timer behind
