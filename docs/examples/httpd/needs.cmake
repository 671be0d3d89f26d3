# Debian: libhttp-parser-dev
find_library(HTTP_PARSER_LIBRARY http_parser)
set(libraries ${HTTP_PARSER_LIBRARY})
