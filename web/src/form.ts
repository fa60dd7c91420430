// The form that asks for an email address.

import { begin } from "./flow";
import { emailField } from "./identifier";

begin(emailField);
