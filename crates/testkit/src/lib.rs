//! What tests need to meet the gateway as the world does: scriptable backends, raw clients and a harness that
//! starts and stops the real program.
