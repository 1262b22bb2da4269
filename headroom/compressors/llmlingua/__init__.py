"""LLMLingua-2: prose made shorter by leaving out the words that a small model finds dispensable.

Pan et al., "LLMLingua-2: Data Distillation for Efficient and Faithful Task-Agnostic Prompt Compression", ACL Findings 2024
(arXiv 2403.12968): an encoder that classifies each token as kept or not. The models are the published ones or of their form;
the loop around them is our own: batches across texts, decisions per whole word, output cut from the original text.

    must_keep(text, question)   what stays whatever the model says            keep.py
    Classifier                  tokens and their probabilities; the model     classifier.py, chunks.py
    words.split                 whole words of a text, as ranges of it        words.py
    select.choose, assemble     which words stay, and the text they make      select.py
    Pruner                      all of it, for many texts at once             pruner.py
    Speed, break_even           from what size a text is worth the time       worth.py
    parity                      the decisions of llmlingua.PromptCompressor   parity.py

Only `keep` is imported without numpy; torch and the model library are imported when a model is loaded.
"""
