FROM d
RUN echo $((1<<x)) $(( 1 << x ))
RUN this is what it says
x
RUN npm ci
