"""What is known of programming languages: file extensions, first signs, comments, and the node types of their grammars."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from importlib import import_module

from tree_sitter import Language, Parser

_GUESSED = 200  # lines from which a language is guessed
_SIGNS_LEAST = 3

_EXTENSIONS = {
    "python": "py pyi pyw",
    "javascript": "js jsx mjs cjs",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "go": "go",
    "rust": "rs",
    "java": "java",
    "c": "c h",
    "cpp": "cc cpp cxx c++ hpp hh hxx inl cu",
    "c_sharp": "cs",
    "ruby": "rb rake gemspec",
    "php": "php",
    "bash": "sh bash zsh",
    "": "kt kts swift scala lua dart groovy m mm pl pm r jl ex exs erl hs clj zig nim vue svelte sql ps1 gradle css scss less",
}
LANGUAGE_OF = {extension: language for language, extensions in _EXTENSIONS.items() for extension in extensions.split()}

_SIGNS = {
    "python": r"(?:async )?def \w+\(.*|class \w+.*:$|from [\w.]+ import |import \w[\w.]*(?: as \w+)?$|if __name__ ==|@\w[\w.]*$",
    "go": r"package \w+$|func (?:\(\w+ \*?\w+\) )?\w+\(|type \w+ (?:struct|interface) \{|\w+ := ",
    "rust": r"(?:pub(?:\(\w+\))? )?(?:fn|struct|enum|trait|mod|impl)\b.*[{;]?$|use [\w:]+(?:::|;)|let mut |#!?\[\w",
    "java": r"package [\w.]+;$|import (?:static )?[\w.*]+;$|(?:public|private|protected) .*[({;]$|@(?:Override|Test)",
    "typescript": r"import .* from [\"']|export (?:default |async )?(?:const|function|class|type|interface)\b"
    r"|(?:const|let|var) .*[=({]|interface \w+|.*=> [{(]",
    "c_sharp": r"using [\w.]+;$|namespace [\w.]+|(?:public|private|internal) (?:\w+ )*(?:class|void|async|override)\b",
    "cpp": r"#include [<\"]|#(?:if|ifdef|ifndef|define|endif)\b|template ?<|std::|(?:static |const )*(?:void|int|char|bool) \**\w+\(",
    "ruby": r"require(?:_relative)? ['\"]|(?:def|module) \w+[^:{]*$|end$|attr_\w+ :",
    "php": r"<\?php|\$\w+ = |namespace [\w\\]+;$|use [\w\\]+;$",
    "bash": r"#!.*sh$|\w+\(\) \{$|fi$|done$|if \[|export \w+=|set -e",
}
_SIGN_OF = {language: re.compile(sign) for language, sign in _SIGNS.items()}

COMMENT_OF = {"python": "# ", "ruby": "# ", "bash": "# "}  # what begins a line comment; "// " elsewhere
EMPTY_OF = {"python": "...  # ", "bash": ":  # "}  # a statement that does nothing, where a body may not be empty

_FUNCTION_TYPES = """function_definition function_declaration method_definition arrow_function function_expression generator_function
    generator_function_declaration method_declaration func_literal function_item closure_expression constructor_declaration
    compact_constructor_declaration lambda_expression static_initializer class_static_block destructor_declaration operator_declaration
    accessor_declaration local_function_statement anonymous_function anonymous_function_creation_expression method singleton_method
    do_block constructor_body macro_definition"""
_CLASS_TYPES = """class_definition class_declaration abstract_class_declaration class class_specifier struct_specifier interface_declaration
    record_declaration enum_declaration struct_declaration impl_item trait_item mod_item module singleton_class trait_declaration
    namespace_declaration namespace_definition internal_module"""
_BLOCK_TYPES = """block statement_block compound_statement switch_block switch_body match_block body_statement declaration_list class_body
    do_block then else expression_switch_statement"""
_DATA_TYPES = """object array template_string dictionary list set tuple argument_list arguments literal_value raw_string_literal
    field_initializer_list array_expression token_tree array_initializer initializer_list array_creation_expression hash string
    interpreted_string_literal"""
_TYPE_TYPES = "enumerator_list enum_body enum_variant_list field_declaration_list interface_body object_type"

FUNCTIONS = frozenset(_FUNCTION_TYPES.split())  # what has a body
CLASSES = frozenset(_CLASS_TYPES.split())  # what holds functions and fields, and is an outline
BLOCKS = frozenset(_BLOCK_TYPES.split())  # what holds statements
DATA = frozenset(_DATA_TYPES.split())  # what holds values, and long strings
TYPES = frozenset(_TYPE_TYPES.split())  # what holds fields and variants
LISTS = frozenset(("statement_list", "body_statement"))  # a layer between a block and its statements
ENCLOSED = frozenset(("string", "raw_string_literal", "then", "else", "do_block"))  # first and last row belong to what holds them


def guess(code: Sequence[str]) -> str:
    """The language most of whose signs begin a line; empty when nothing speaks for one."""
    looked = [line.strip()[:200] for line in code[:_GUESSED]]
    counts = {language: sum(1 for line in looked if sign.match(line)) for language, sign in _SIGN_OF.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] >= _SIGNS_LEAST else ""


def parser(language: str) -> Parser | None:
    """A new parser, for one thread; None where there is no grammar."""
    grammar = _grammar(language) if language else None
    return None if grammar is None else Parser(grammar)


@functools.cache
def _grammar(language: str) -> Language:
    """The grammar of an installed package; nothing is fetched."""
    package = {"tsx": "typescript"}.get(language, language)
    source = {"typescript": "language_typescript", "tsx": "language_tsx", "php": "language_php"}.get(language, "language")
    return Language(getattr(import_module(f"tree_sitter_{package}"), source)())
