//! What the platform's refusals mean for a task.

use model::TaskError;
use model::platform::PlatformError;

pub fn asked(error: PlatformError) -> TaskError {
    match error {
        PlatformError::Unavailable(message) => TaskError::Retry(message),
        PlatformError::Refused(message) => TaskError::Fail(message),
    }
}
