# LWP, which reads variables of its own, and HTTP::Tiny fetch a document of the npm registry
# needs: perl lwp-request npm
document=$(npm_registry)is-number/7.0.0
behind lwp-request "$document" >document.json
same 7.0.0 "$(field version <document.json)"
# shellcheck disable=SC2016 # the dollars are Perl's
behind perl -MHTTP::Tiny -e 'my $r = HTTP::Tiny->new(verify_SSL => 1)->get(shift); print $r->{content}; exit !$r->{success}' "$document" >document.json
same 7.0.0 "$(field version <document.json)"
