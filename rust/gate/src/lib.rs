//! The data plane: listeners, TLS, connections, proxying. Who is admitted it asks `judge`.
