//! Call a function in a child process as if it were here.
