use std::fmt;

/// A status code of RTSP 1.0 (RFC 2326 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $(#[doc = concat!($reason, ".")] pub const $name: Self = Self($code);)*

            /// The words beside the number.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self.0 { $($code => $reason,)* _ => "Unknown" }
            }
        }
    };
}

statuses! {
    OK = 200 "OK";
    BAD_REQUEST = 400 "Bad Request";
    UNAUTHORIZED = 401 "Unauthorized";
    FORBIDDEN = 403 "Forbidden";
    NOT_FOUND = 404 "Not Found";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    REQUEST_TIMEOUT = 408 "Request Timeout";
    SESSION_NOT_FOUND = 454 "Session Not Found";
    METHOD_NOT_VALID_IN_THIS_STATE = 455 "Method Not Valid in This State";
    AGGREGATE_NOT_ALLOWED = 459 "Aggregate Operation Not Allowed";
    ONLY_AGGREGATE_ALLOWED = 460 "Only Aggregate Operation Allowed";
    UNSUPPORTED_TRANSPORT = 461 "Unsupported Transport";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    NOT_IMPLEMENTED = 501 "Not Implemented";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    VERSION_NOT_SUPPORTED = 505 "RTSP Version Not Supported";
    OPTION_NOT_SUPPORTED = 551 "Option Not Supported";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}
