#!/usr/bin/env escript
%% Fetches https://git.test/echo by the means that it is told, with the roots of the system.
main([Means]) ->
    {ok, _} = application:ensure_all_started(ssl),
    {ok, _} = application:ensure_all_started(inets),
    Options = [{verify, verify_peer}, {cacerts, public_key:cacerts_get()}, {server_name_indication, "git.test"},
               {customize_hostname_check, [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]}],
    try fetch(Means, Options) of
        Text -> io:put_chars(Text)
    catch
        _:Reason -> io:format(standard_error, "~p~n", [Reason]), halt(1)
    end.

fetch("httpc", Options) ->
    {ok, {_, _, Body}} = httpc:request(get, {"https://git.test/echo", []}, [{ssl, Options}], []),
    Body;
fetch("ssl", Options) ->
    {ok, Socket} = ssl:connect("git.test", 443, [{active, false}, {mode, list} | Options]),
    ok = ssl:send(Socket, "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n"),
    {ok, Text} = ssl:recv(Socket, 0),
    Text.
