# git clones, pushes 20 MB in chunks and fetches over smart HTTP
# needs: git
start_origin
git init -q --bare "$ORIGIN_REPOSITORIES/project.git"
as_somebody=(-c user.name=matrix -c user.email=matrix@git.test)

git init -q first
head -c 20000000 /dev/urandom >first/random
git -C first add random
git -C first "${as_somebody[@]}" commit -q -m "20 MB that do not compress"
# More than http.postBuffer, a megabyte, is sent with Transfer-Encoding: chunked.
behind git -C first push -q https://git.test/git/project.git HEAD:refs/heads/trunk
git -C "$ORIGIN_REPOSITORIES/project.git" symbolic-ref HEAD refs/heads/trunk

behind git clone -q https://git.test/git/project.git second
cmp first/random second/random

echo more >first/more
git -C first add more
git -C first "${as_somebody[@]}" commit -q -m "some more"
behind git -C first push -q https://git.test/git/project.git HEAD:refs/heads/trunk
behind git -C second fetch -q
prints more git -C second show origin/trunk:more
