//! The interface of a host and its plugins: both programs contain this file.

use offspring::logging::LogEvent;
use offspring::service;

/// The name of the interface, with its version: compared when a plugin is started.
pub(crate) const INTERFACE: &str = "plugin_host filter 2";

service! {
    /// A filter of texts. Its events are the records of its log.
    pub(crate) trait Filter => FilterClient, events = LogEvent {
        /// Returns what the plugin calls itself.
        fn title(&self) -> String;
        /// Filters a text.
        fn filter(&mut self, text: String) -> String;
        /// Returns how many texts this process has filtered.
        fn count(&self) -> u64;
    }
}
