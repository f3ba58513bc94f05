//! The codes of problems in files of services and environments, beside those of all our files.

use bellwether_model::diagnostic::Code;

use crate::reading::codes;

codes! {
    FILE_KIND "svc001" "a file describes neither a service nor an environment, or both";
    NAME "svc002" "a name is none that a signal can carry";
    SELECTOR "svc003" "a selector does not parse";
    NOT_SERIES "svc004" "an expression stands where series are selected";
    ANY_NAME "svc005" "a selector names no metric";
    FIXED "svc006" "a selector fixes a label that requests are told apart by";
    SLI_KIND "svc007" "an SLI says too little or too much of its requests";
    ALL_BAD "svc008" "an SLI takes every request for bad, or for good";
    HISTOGRAM "svc009" "a histogram is not named as such";
    LABEL "svc010" "a label cannot be used here";
    REPEATED "svc011" "two files describe one service or one environment";
    NO_HOOK "svc012" "a hook is named that is not configured";
    NO_ENVIRONMENT "svc013" "a service names an environment that no file describes";
    IDLE_MODE "svc014" "a mode cannot do what it says";
    TOO_MANY "svc015" "more services, environments or SLIs than there may be";
}
