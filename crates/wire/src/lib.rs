//! HTTP/1.1 on both edges: connections, framing, bodies and buffers. Knows nothing of gateways.
