import Testing

/// Tests with processes and sockets. One after the other: what they say about times should not
/// depend on how many others there are.
@Suite(.serialized) enum EndToEnd {}
