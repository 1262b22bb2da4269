/* Reasons as the ledger writes them, in words. What is not here is shown as it is. */

const REASONS = {
  asked_for_whole: "learned: it is asked for again too often",
  bypass: "as the client or the settings wish",
  compressor_deadline: "compression took too long",
  compressor_failed: "compression failed",
  compressor_hard_limit: "compression hung and was stopped",
  compressor_overloaded: "too much was waiting",
  compressor_worker_died: "the compressor broke down",
  context_deadline: "no time left to look at the window",
  context_failed: "the window could not be looked at",
  context_protected_exceeds_window: "what is protected alone is too much",
  context_store_unavailable: "the store did not answer",
  context_kept_by_provider: "the provider keeps earlier messages: not cut",
  context_unsupported: "the order of its messages could not be told",
  duplicate_keys: "JSON with a key twice",
  error_result: "a failed tool's result",
  failed: "a compressor failed",
  fidelity_off: "as the client or the settings wish",
  for_a_program: "read by a program, not by the model",
  lone_surrogate: "no valid Unicode",
  no_compressor: "no compressor for its kind",
  no_credential: "no credential tells whose it is",
  not_smaller: "would not be smaller",
  nothing_to_compress: "no tool output, no pasted data",
  retrieved: "just read back by the model",
  store_unavailable: "the store did not answer",
  too_many_values: "more JSON values than are read",
  too_small: "too small to gain anything",
};

export const reason = (name) => REASONS[name] || REASONS[name.split(":")[0]] || (/^not_/.test(name) ? "not what it looked like" : "");
