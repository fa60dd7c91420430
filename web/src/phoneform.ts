// The form that asks for a phone number. It is a bundle of its own: the table of
// countries weighs as much as the rest.

import { begin } from "./flow";
import { identifierInput } from "./identifier";
import { phoneField } from "./phone";

begin(phoneField(identifierInput));
