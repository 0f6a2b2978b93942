% SWI-Prolog's client.
:- use_module(library(http/http_open)).
:- use_module(library(http/http_ssl_plugin)).
:- initialization(main, main).
main :- http_open('https://git.test/echo', In, []), copy_stream_data(In, user_output), close(In).
